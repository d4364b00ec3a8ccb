"""What a job that has ended tells the receiver of webhooks, as JSON: `producer.contract.fields.EndedJob`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from producer.contract.ids import wire_id
from producer.contract.job import now_ms
from producer.contract.urls import redact_text, redact_url

if TYPE_CHECKING:
    from producer.contract.fields import EndedJob
    from producer.contract.ids import ImageId
    from producer.contract.job import ImageJob
    from worker.store.results import Failure


def describe_done(job: ImageJob, model: str) -> bytes:
    """Return the event of a job whose vector is in its document."""
    event = _event("done", job.task_id, job.image_id, job.url)
    event["model"] = model
    return _encode(event)


def describe_failed(failure: Failure) -> bytes:
    """Return the event of a job whose failure is recorded in its document."""
    event, error = _event("failed", failure.task_id, failure.image_id, failure.url), failure.error
    event["error"] = {"code": error.code, "stage": error.stage, "message": redact_text(failure.message)}
    return _encode(event)


def _event(status: str, task_id: str | None, image_id: ImageId, url: str | None) -> EndedJob:
    event: EndedJob = {"task_id": task_id or "", "image_id": wire_id(image_id), "status": status, "ended_at": now_ms()}
    if url is not None:
        event["url"] = redact_url(url)
    return event


def _encode(event: EndedJob) -> bytes:
    # Not as ASCII, which takes three times as much of Redis for a long URL beyond ASCII.
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
