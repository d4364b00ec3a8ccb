"""What the log says of one attempt: a level, a text for people, and the same as fields."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from producer.contract.job import now_ms
from producer.contract.urls import redact_url
from worker.errors import JobError, QueueUnavailable, StoreUnavailable

if TYPE_CHECKING:
    from worker.telemetry.job_end import JobEnd


def level_of(end: JobEnd) -> int:
    """Return the level of a line: only what is not normal is a warning."""
    if end.outcome == "failed" or isinstance(end.error, StoreUnavailable | QueueUnavailable):
        return logging.WARNING
    # A busy host or decoder is normal and may requeue dozens of jobs a second.
    return logging.DEBUG if end.outcome == "requeued" else logging.INFO


def text_of(end: JobEnd) -> str:
    """Return the text of a line."""
    text = f"job={end.image_id} {_what(end)}"
    url = redact_url(end.url) if end.url else ""
    return text if url in text else f"{text} url={url}"  # many errors name it


def _what(end: JobEnd) -> str:
    if isinstance(end.error, JobError):
        times = f" after {end.times}" if end.times.seconds else ""
        return f"{_fate(end, end.error)}{times}: {end.error}"
    if end.error is not None:
        return f"requeued: {end.error}"
    done = f"skipped ({end.verdict})" if end.outcome == "skipped" else f"done batch={end.batch_size}"
    return f"{done} {end.times}"


def _fate(end: JobEnd, error: JobError) -> str:
    if end.outcome == "retried":
        return f"runs again in {end.retry_in_s:g} s: retry {end.attempts} ({error.code})"
    return f"failed stage={error.stage} code={error.code}"


def fields_of(end: JobEnd) -> dict[str, Any]:
    """Return the fields of a line. Those that say nothing are absent."""
    waited_ms = max(0, end.taken_at_ms - end.enqueued_at_ms)
    is_over = end.outcome in {"done", "skipped", "failed"}
    fields = {
        "job": end.image_id,
        "task": end.task_id,
        "outcome": end.outcome,
        "verdict": end.verdict if end.outcome == "skipped" else None,
        "code": getattr(end.error, "code", None),
        "stage": getattr(end.error, "stage", None),
        "error": str(end.error) if end.error else None,
        "retry_in_s": end.retry_in_s,
        "attempt": end.attempts,
        "batch": end.batch_size or None,
        **{f"{name}_ms": round(1e3 * seconds, 1) for name, seconds in end.times.seconds.items()},
        # Of a later attempt, this is mostly the time until it was due.
        "queue_ms": waited_ms if end.attempts == 1 else None,
        "total_ms": max(0, now_ms() - end.enqueued_at_ms) if is_over else None,
        "url": redact_url(end.url) if end.url else None,
        "trace_id": end.trace_id,
    }
    return {name: value for name, value in fields.items() if value is not None}
