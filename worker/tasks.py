"""The Celery task: processes the image of one message, and retries, requeues or fails the job after an error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.exceptions import Reject, Retry

from producer.contract.errors import InvalidJob
from producer.contract.ids import parse_image_id
from producer.contract.job import ImageJob, now_ms, read_enqueued_at
from producer.contract.names import IMAGE_TASK
from worker.app import app
from worker.broker.ended import describe_done, describe_failed
from worker.broker.retries import OWN_RETRIES_HEADER, retry_message
from worker.broker.scripts import LOST_HEADER
from worker.errors import (
    BadJob,
    InternalError,
    JobError,
    PermanentError,
    QueueUnavailable,
    Requeue,
    StoreRefused,
    StoreUnavailable,
    TransientError,
)
from worker.store.results import Failure

if TYPE_CHECKING:
    from celery import Task

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
    try:
        with app.state.consumption.deliveries.running(_delivery_tag(self)):
            _embed(self, _read_job(self, kwargs))
    except Requeue as exc:
        logger.log(_level(exc), "task=%s requeued: %s", self.request.id, exc)
        app.state.drain.sleep(exc.delay_s)
        raise Reject(str(exc), requeue=True) from None


def _read_job(task: Task, kwargs: dict[str, Any]) -> ImageJob:
    try:
        return ImageJob.from_kwargs(kwargs, task.request.id)
    except InvalidJob as exc:
        error = BadJob(str(exc))
    image_id, enqueued_at_ms = parse_image_id(kwargs.get("image_id")), _enqueued_at(kwargs)
    _save_failure(task, Failure(image_id, None, enqueued_at_ms, _attempts(task), error, task.request.id))
    raise error


def _enqueued_at(kwargs: dict[str, Any]) -> int:
    try:
        return max(0, read_enqueued_at(kwargs))
    except InvalidJob:
        return now_ms()


def _embed(task: Task, job: ImageJob) -> None:
    try:
        with app.runtime.quarantine.admit(task.request.id, task.request.get(LOST_HEADER, 0)):
            is_stored = app.runtime.pipeline.run(job, _attempts(task))
        if is_stored and app.runtime.notes_ends:
            _note_end(task, describe_done(job, app.runtime.pipeline.model))
    except TransientError as exc:
        if app.runtime.retries.allows(exc, task.request.retries, task.request.get(OWN_RETRIES_HEADER, 0)):
            raise _retry(task, job, exc) from None
        _save_failure(task, _failure(task, job, exc))
        raise
    except PermanentError as exc:
        _save_failure(task, _failure(task, job, exc))
        raise
    except Requeue:
        raise
    except Exception as exc:  # a job with an unexpected error must be recorded as failed, not lost
        logger.exception("job=%s unexpected error", job.image_id)
        error = InternalError(f"{type(exc).__name__}; the worker's log has the traceback")
        _save_failure(task, _failure(task, job, error))
        raise error from exc


def _retry(task: Task, job: ImageJob, error: TransientError) -> Retry:
    """Let the job wait on Redis. Celery shows this as a retry, and its ack of the old message is ignored.

    Celery's own retry would wait in this process, unacked.
    """
    retries, wait_s = task.request.retries, round(app.runtime.retries.wait_s(task.request.retries, error), 1)
    logger.info("job=%s runs again in %g s: retry %d (%s)", job.image_id, wait_s, retries + 1, error.code)
    message = retry_message(job, task.request, error)
    app.state.consumption.deliveries.defer_delay(_delivery_tag(task), message, wait_s)
    return Retry(exc=error, when=wait_s)


def _save_failure(task: Task, failure: Failure) -> None:
    error = failure.error
    logger.warning("job=%s failed stage=%s code=%s", failure.image_id, error.stage, error.code)
    try:
        is_recorded = app.runtime.store.save_failure(failure)
        if is_recorded and app.runtime.notes_ends:
            _note_end(task, describe_failed(failure))
    except StoreRefused as exc:
        logger.error("job=%s cannot save its failure, so its message is parked: %s", failure.image_id, exc)  # noqa: TRY400
        app.runtime.parking.park(_delivery_tag(task), f"{error.code}, and MongoDB refused to record this: {exc}")


def _note_end(task: Task, event: bytes) -> None:
    app.state.consumption.deliveries.ended(_delivery_tag(task), event)


def _failure(task: Task, job: ImageJob, error: JobError) -> Failure:
    return Failure(job.image_id, job.url, job.enqueued_at_ms, _attempts(task), error, job.task_id)


def _level(exc: Requeue) -> int:
    # A busy host or decoder is normal and may requeue dozens of jobs a second.
    return logging.WARNING if isinstance(exc, StoreUnavailable | QueueUnavailable) else logging.DEBUG


def _delivery_tag(task: Task) -> str:
    return str(task.request.properties["delivery_tag"])


def _attempts(task: Task) -> int:
    return int(task.request.retries) + 1
