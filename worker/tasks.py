"""The Celery task: processes the image of one message, and retries, requeues or fails the job after an error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.exceptions import Reject, Retry

from producer.contract.errors import InvalidJob
from producer.contract.ids import parse_image_id
from producer.contract.job import ImageJob, now_ms, read_enqueued_at
from producer.contract.names import IMAGE_TASK
from producer.contract.trace import TRACE_HEADERS
from worker.app import app
from worker.broker.ended import describe_done, describe_failed
from worker.broker.retries import OWN_RETRIES_HEADER, retry_message
from worker.broker.scripts import LOST_HEADER
from worker.errors import (
    BadJob,
    InternalError,
    JobError,
    PermanentError,
    Requeue,
    StoreRefused,
    TransientError,
)
from worker.store.results import Failure
from worker.telemetry.job_end import Attempt
from worker.telemetry.spans import current_trace_id

if TYPE_CHECKING:
    from celery import Task

    from worker.telemetry.job_end import JobEnd

logger = logging.getLogger(__name__)


# `throws`: Celery logs a failed job without a traceback. `kwargs` holds only arguments of the job contract, because
# `worker.broker.validation` has removed all others.
@app.task(
    bind=True,
    name=IMAGE_TASK,
    throws=(JobError,),
    Request="worker.lifecycle.requests:JobRequest",
    send_events=app.tells_all,
)
def embed_image(self: Task, /, **kwargs: object) -> None:
    """Embed one image and write the vector or the failure into its document.

    The keyword arguments are those of `producer.contract.job.ImageJob`. In Flower, the task shows a failure too.
    """
    with app.state.consumption.deliveries.running(_delivery_tag(self)):
        end = _run(self, kwargs)
    app.runtime.telemetry.job_ended(end)
    _tell_celery(end)


def _run(task: Task, kwargs: dict[str, Any]) -> JobEnd:
    attempt, job = _read_job(task, kwargs)
    try:
        return _embed(task, attempt, job) if isinstance(job, ImageJob) else _fail(task, attempt, job)
    except Requeue as exc:
        return attempt.end("requeued", error=exc)


def _read_job(task: Task, kwargs: dict[str, Any]) -> tuple[Attempt, ImageJob | BadJob]:
    job: ImageJob | BadJob
    # `worker.broker.validation` has left only valid ones.
    trace = {name: value for name in TRACE_HEADERS if (value := task.request.get(name))}
    try:
        job = ImageJob.from_kwargs(kwargs, task.request.id, trace)
        image_id, url, enqueued_at_ms = job.image_id, job.url, job.enqueued_at_ms
    except InvalidJob as exc:
        job = BadJob(str(exc))
        image_id, url, enqueued_at_ms = parse_image_id(kwargs.get("image_id")), None, _enqueued_at(kwargs)
    attempt = Attempt(
        image_id=image_id,
        url=url,
        task_id=task.request.id,
        enqueued_at_ms=enqueued_at_ms,
        attempts=int(task.request.retries) + 1,
        trace_id=current_trace_id(trace),
    )
    return attempt, job


def _enqueued_at(kwargs: dict[str, Any]) -> int:
    try:
        return max(0, read_enqueued_at(kwargs))
    except InvalidJob:
        return now_ms()


def _embed(task: Task, attempt: Attempt, job: ImageJob) -> JobEnd:
    try:
        with app.runtime.quarantine.admit(task.request.id, task.request.get(LOST_HEADER, 0)):
            ran = app.runtime.pipeline.run(job, attempt.attempts, attempt.times)
        if ran.is_stored and app.runtime.notes_ends:
            _note_end(task, describe_done(job, app.runtime.pipeline.model))
        return attempt.end(
            "done" if ran.verdict == "needed" else "skipped", batch_size=ran.batch_size, verdict=ran.verdict
        )
    except TransientError as exc:
        if app.runtime.retries.allows(exc, task.request.retries, task.request.get(OWN_RETRIES_HEADER, 0)):
            return _retry(task, attempt, job, exc)
        return _fail(task, attempt, exc)
    except PermanentError as exc:
        return _fail(task, attempt, exc)
    except Requeue:
        raise
    except Exception as exc:  # a job with an unexpected error must be recorded as failed, not lost
        logger.exception("job=%s unexpected error", job.image_id)
        return _fail(task, attempt, InternalError(f"{type(exc).__name__}; the worker's log has the traceback"))


def _retry(task: Task, attempt: Attempt, job: ImageJob, error: TransientError) -> JobEnd:
    """Let the job wait on Redis. Celery shows this as a retry, and its ack of the old message is ignored.

    Celery's own retry would wait in this process, unacked.
    """
    wait_s = round(app.runtime.retries.wait_s(task.request.retries, error), 1)
    message = retry_message(job, task.request, error)
    app.state.consumption.deliveries.defer_delay(_delivery_tag(task), message, wait_s)
    return attempt.end("retried", error=error, retry_in_s=wait_s)


def _fail(task: Task, attempt: Attempt, error: JobError) -> JobEnd:
    """Record the failure in the document; park the message if that cannot be done, or it would be lost."""
    failure = Failure(attempt.image_id, attempt.url, attempt.enqueued_at_ms, attempt.attempts, error, attempt.task_id)
    try:
        is_recorded = app.runtime.store.save_failure(failure)
        if is_recorded and app.runtime.notes_ends:
            _note_end(task, describe_failed(failure))
    except StoreRefused as exc:
        logger.error("job=%s cannot save its failure, so its message is parked: %s", attempt.image_id, exc)  # noqa: TRY400
        _park(task, f"{error.code}, and MongoDB refused to record this: {exc}")
    except Requeue:
        raise
    except Exception as exc:  # Celery would ack the message of a task that raises
        logger.exception("job=%s cannot save its failure, so its message is parked", attempt.image_id)
        _park(task, f"{error.code}, and recording this raised {type(exc).__name__}; the worker's log has the traceback")
    return attempt.end("failed", error=error)


def _park(task: Task, reason: str) -> None:
    app.runtime.parking.park(_delivery_tag(task), reason)


def _note_end(task: Task, event: bytes) -> None:
    app.state.consumption.deliveries.ended(_delivery_tag(task), event)


def _tell_celery(end: JobEnd) -> None:
    """Let Celery ack the message of a job that has ended, and requeue it otherwise. Flower shows the same."""
    match end.error:
        case Requeue() as error:
            app.state.drain.sleep(error.delay_s)
            raise Reject(str(error), requeue=True)
        case JobError() as error if end.outcome == "retried":
            raise Retry(exc=error, when=end.retry_in_s)
        case JobError() as error:
            # The traceback so far holds the file and its pixels.
            raise error.with_traceback(None)


def _delivery_tag(task: Task) -> str:
    return str(task.request.properties["delivery_tag"])
