"""Celery's task: one message, one image, one ack, one retry. Policy stands here and nowhere else."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from celery.exceptions import Reject

from producer.contract.errors import InvalidJob
from producer.contract.job import ImageJob, now_ms, parse_image_id, read_enqueued_at
from producer.contract.names import IMAGE_QUEUE, IMAGE_TASK
from worker.app import app
from worker.broker.validation import LOST_HEADER
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


# `throws`: a job that fails is logged without a traceback. `worker.broker.validation` lets only the contract's keyword
# arguments through.
@app.task(bind=True, name=IMAGE_TASK, max_retries=None, throws=(JobError,))
def embed_image(self: Task, /, **kwargs: object) -> None:
    """Embed one image; see `producer.contract.job` for the keyword arguments.

    Ends in the document, as a vector or as a failure. Celery's state follows it, so Flower shows both.
    """
    try:
        job = _read_job(self, kwargs)
        _embed(self, job)
    except Requeue as exc:
        # Nobody's job's fault: the message goes back unspent, to the far end of the queue.
        logger.log(_level(exc), "task=%s goes back to the queue: %s", self.request.id, exc)
        app.runtime.drain.pause(exc.pause_s)
        raise Reject(str(exc), requeue=True) from None


def _read_job(task: Task, kwargs: dict[str, Any]) -> ImageJob:
    try:
        return ImageJob.from_kwargs(kwargs)
    except InvalidJob as exc:
        error = BadJob(str(exc))
    _record(Failure(parse_image_id(kwargs.get("image_id")), None, _time_of(kwargs), _attempts(task), error))
    raise error


def _time_of(kwargs: dict[str, Any]) -> int:
    try:
        return max(0, read_enqueued_at(kwargs))
    except InvalidJob:
        return now_ms()


def _embed(task: Task, job: ImageJob) -> None:
    was_lost = task.request.get(LOST_HEADER, 0)
    try:
        with app.runtime.suspects.trial(task.request.id, was_lost) if was_lost else nullcontext():
            app.runtime.pipeline.run(job, _attempts(task))
    except TransientError as exc:
        if app.runtime.retries.allows(task.request.retries):
            raise _retry(task, job, exc) from None
        _record(_failure(task, job, exc))
        raise
    except PermanentError as exc:
        _record(_failure(task, job, exc))
        raise
    except Requeue:
        raise
    except Exception as exc:  # the edge of the task: a defect of ours must not lose the job
        logger.exception("job=%s met a defect", job.image_id)
        error = InternalError(f"{type(exc).__name__}; the worker's log has the traceback")
        _record(_failure(task, job, error))
        raise error from exc


def _retry(task: Task, job: ImageJob, error: TransientError) -> Exception:
    countdown_s = app.runtime.retries.countdown_s(task.request.retries, error)
    logger.info("job=%s tries again in %.1f s (%s)", job.image_id, countdown_s, error.code)
    try:
        # The job's own arguments and description: the time of the first enqueue stays, and the text that Flower
        # shows stays free of the query string, which Celery would build anew.
        retry: Exception = task.retry(
            args=(),
            kwargs=job.to_kwargs(),
            kwargsrepr=job.describe(),
            countdown=countdown_s,
            queue=IMAGE_QUEUE,  # and not where the message's own delivery_info points
            throw=False,
        )
    except Reject as exc:
        # Celery drops the message when the retry cannot be published; ours goes back instead.
        raise Reject(exc.reason, requeue=True) from None
    return retry


def _record(failure: Failure) -> None:
    error = failure.error
    logger.warning("job=%s failed stage=%s code=%s", failure.image_id, error.stage, error.code)
    try:
        app.runtime.store.save_failure(failure)
    except StoreRefused as exc:
        logger.error("job=%s: its failure cannot be recorded: %s", failure.image_id, exc)  # noqa: TRY400


def _failure(task: Task, job: ImageJob, error: JobError) -> Failure:
    return Failure(job.image_id, job.url, job.enqueued_at_ms, _attempts(task), error)


def _level(exc: Requeue) -> int:
    # That a job waits for others is everyday, and turns up dozens of times a second.
    return logging.WARNING if isinstance(exc, StoreUnavailable | QueueUnavailable) else logging.DEBUG


def _attempts(task: Task) -> int:
    return int(task.request.retries) + 1
