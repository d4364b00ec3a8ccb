"""Which of several jobs for one image is recorded, and that a worker runs it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bson import ObjectId

from producer import EmbeddingClient, ImageJob, ObjectIdRef
from producer.contract.job import now_ms
from producer.contract.records import bson_date, bson_id
from tests.producer.documents.recorded import URL, Document, T, record_of
from tests.support.queued import queued_task_ids
from worker.store.mongo import MongoStore
from worker.store.results import Result

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.documents.recording import JobRecorder
    from producer.local.stack import Stack


@pytest.mark.parametrize("gap_ms", [1, 500, 5000])
@pytest.mark.parametrize("status", ["pending", "done", "failed"])
def test_a_job_never_replaces_one_enqueued_later(
    gap_ms: int, status: str, recorder: JobRecorder, recorded: Collection[Document], new_id: str
) -> None:
    later = {"status": status, "url": "http://host/later.jpg", "enqueued_at": bson_date(T + gap_ms)}
    recorded.insert_one({"_id": new_id, "embedding_job": later})
    recorder.record([ImageJob(new_id, URL, T)])
    assert record_of(recorded, new_id) == later
    recorder.record([ImageJob(new_id, URL, T + gap_ms + 1)])
    assert record_of(recorded, new_id)["url"] == URL


def test_the_last_of_two_jobs_for_one_document_is_recorded(
    recorder: JobRecorder, recorded: Collection[Document], new_id: str
) -> None:
    recorder.record([ImageJob(new_id, URL, T), ImageJob(new_id, "http://host/b.jpg", T)])
    assert record_of(recorded, new_id)["url"] == "http://host/b.jpg"


def test_the_last_pair_of_an_id_is_recorded(
    client: EmbeddingClient, recorded: Collection[Document], queue: redis.Redis, new_id: str
) -> None:
    """Within a chunk, and in a later chunk."""
    pairs = [(new_id, "http://host/1.jpg"), (new_id, "http://host/2.jpg")]
    others = [(f"{new_id}-{number}", URL) for number in range(500)]
    client.enqueue_many([*pairs, *others, (new_id, "http://host/3.jpg")], record=True)
    record = record_of(recorded, new_id)
    assert (record["url"], record["task_id"]) == ("http://host/3.jpg", queued_task_ids(queue)[-1])


@pytest.mark.parametrize("ahead_ms", [50, 9 * 60_000, 11 * 60_000, 10**9])
def test_a_recorded_job_runs_although_the_backends_clock_is_ahead(
    ahead_ms: int, recorder: JobRecorder, stack: Stack, recorded: Collection[Document], new_id: str
) -> None:
    """Its own record never supersedes it. An older job cannot win once this one is done."""
    recorded_job = ImageJob(new_id, URL, now_ms() + ahead_ms, task_id="own")
    recorder.record([recorded_job])
    job = ImageJob.from_kwargs(recorded_job.to_kwargs(), "own")
    store = MongoStore(stack.mongodb_uri, "recorded", call_s=10.0)
    check = store.check(job, "m")
    assert check.verdict == "needed"
    store.save(job, Result(np.zeros(2, np.float32), "m", "new", 4, 3, "JPEG"), 1, check)
    older = ImageJob(new_id, "http://host/older.jpg", now_ms() - 1000, task_id="other")
    assert store.check(older, "m").verdict == "superseded"
    store.close()
    record = record_of(recorded, new_id)
    assert (record["status"], "task_id" in record) == ("done", False)


def test_the_record_of_a_clock_that_is_far_ahead_supersedes_no_job(
    recorder: JobRecorder, recorded: Collection[Document], new_id: str
) -> None:
    """Otherwise no later enqueue of the image could be recorded or run."""
    recorder.record([ImageJob(new_id, URL, now_ms() + 11 * 60_000, task_id="ahead")])
    recorder.record([ImageJob(new_id, "http://host/later.jpg", now_ms(), task_id="later")])
    assert record_of(recorded, new_id)["task_id"] == "later"


def test_the_last_enqueue_wins_among_concurrent_writes(
    recorder: JobRecorder, recorded: Collection[Document], new_id: str
) -> None:
    ids: list[str | ObjectIdRef] = [f"{new_id}-{number}" for number in range(30)]
    ids += [ObjectIdRef(str(ObjectId())) for _ in range(30)]

    def record(number: int) -> None:
        # The times differ by whole seconds, because the embedded server compares dates to the second.
        recorder.record([ImageJob(image_id, f"http://host/{number}.jpg", T + number * 1000) for image_id in ids])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(record, [2, 0, 3, 1]))
    urls = {record_of(recorded, bson_id(image_id))["url"] for image_id in ids}
    assert urls == {"http://host/3.jpg"}
