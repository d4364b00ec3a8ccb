"""The time and the task id of a job that a sweep, a backfill or a retry enqueues again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.records import bson_date, supersedes
from producer.operations.requeue.selection import CURRENT, STALE, Selection, job_of
from tests.producer.operations.shop import URL, Document, T

if TYPE_CHECKING:
    from producer.contract.job import ImageJob


def requeued(record: Document) -> ImageJob:
    job = job_of({"_id": "a", "url": URL, "embedding_job": record}, "url", T)
    assert job is not None
    return job


@pytest.mark.parametrize("status", ["done", "failed", "started", 7])
@pytest.mark.parametrize("ahead_ms", [-5000, 0, 1, 5000])
def test_a_requeued_job_is_later_than_the_job_before(ahead_ms: int, status: Any) -> None:
    """The clock of the backend that enqueued that job may be ahead of this machine's: the worker must not drop it."""
    record = {"status": status, "enqueued_at": bson_date(T + ahead_ms)}
    job = requeued(record)
    assert job.enqueued_at_ms == max(T, T + ahead_ms + 1)
    assert not supersedes(record, bson_date(job.enqueued_at_ms), job.task_id)


@pytest.mark.parametrize(("ahead_ms", "expected"), [(-5000, -5000), (5000, 5000), (11 * 60_000, 0)])
def test_a_pending_job_keeps_its_task_id_and_a_believable_time(ahead_ms: int, expected: int) -> None:
    job = requeued({"status": "pending", "url": URL, "enqueued_at": bson_date(T + ahead_ms), "task_id": "b-1"})
    assert (job.enqueued_at_ms, job.task_id) == (T + expected, "b-1")


@pytest.mark.parametrize("task_id", [None, 7, "", 'a", "x": "', "ü", "x" * 256, {"$gt": ""}])
def test_a_task_id_that_cannot_be_in_a_message_is_replaced(task_id: Any) -> None:
    """Other programs may have written it, and a record of an earlier version has none."""
    record = {"status": "pending", "url": URL, "enqueued_at": bson_date(T), "task_id": task_id}
    assert requeued(record).task_id is None


@pytest.mark.parametrize("url", [{}, {"url": None}])
@pytest.mark.parametrize(("model", "state"), [("m", CURRENT), (None, CURRENT), ("other", STALE)])
def test_an_uploaded_picture_is_not_replaced_by_that_of_the_documents_url(
    model: str | None, state: str, url: Document
) -> None:
    """MongoDB returns null for a field that a document lacks if it reads only an index."""
    record = {"status": "done", "model": "m", "enqueued_at": bson_date(T), **url}
    document = {"_id": "a", "url": URL, "embedding_job": record}
    assert Selection("url", model=model).state_of(document) == state
    assert job_of({"_id": "a", "embedding_job": record}, "url", T) is None
