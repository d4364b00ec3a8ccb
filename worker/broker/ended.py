"""What a job that has ended tells the receiver of webhooks, as JSON: `producer.contract.fields.EndedJob`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from producer.contract.job import ObjectIdRef, now_ms
from producer.contract.urls import redact_text, redact_url
from worker.store.updates import one_line

if TYPE_CHECKING:
    from producer.contract.fields import EndedJob
    from producer.contract.job import ImageId, ImageJob
    from worker.store.results import Failure


def describe_done(job: ImageJob, model: str) -> bytes:
    """Return the event of a job whose vector is in its document."""
    event: EndedJob = {**_base(job.task_id, job.image_id, job.url), "status": "done", "model": model}
    return _encode(event)


def describe_failed(failure: Failure) -> bytes:
    """Return the event of a job whose failure is recorded in its document."""
    error = {
        "code": failure.error.code,
        "stage": failure.error.stage,
        "message": redact_text(one_line(str(failure.error))),
    }
    event: EndedJob = {**_base(failure.task_id, failure.image_id, failure.url), "status": "failed", "error": error}
    return _encode(event)


def _base(task_id: str | None, image_id: ImageId, url: str | None) -> Any:
    shown = {"$oid": image_id.hex} if isinstance(image_id, ObjectIdRef) else image_id
    base = {"task_id": task_id or "", "image_id": shown, "ended_at": now_ms()}
    return base if url is None else {**base, "url": redact_url(url)}


def _encode(event: EndedJob) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()
