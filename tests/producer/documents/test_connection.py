"""The URI of a hosted MongoDB may ask for reads from a secondary or for weak writes. The guarantees need neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from pymongo import ReadPreference

from producer.contract.job import ImageJob
from producer.documents.connection import connect_collection, open_collection
from producer.documents.documents import open_documents
from producer.documents.failures import find_failures
from producer.documents.recording import JobRecorder
from producer.operations.doctor.mongo import check_mongodb
from tests.support.mongo_commands import READS, WRITES, recorded_commands
from tests.worker.store.jobs import NO_DOCUMENT, failure, job, result
from worker.store.mongo import MongoStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.local.stack import Stack

SECONDARY = "readPreference=secondaryPreferred&readPreferenceTags=dc:ny&maxStalenessSeconds=120"
WEAK_URIS = [
    f"{SECONDARY}&readConcernLevel=majority&w=0&journal=false",
    "readPreference=nearest&readConcernLevel=available&w=1&wtimeoutMS=1&retryWrites=false&retryReads=false",
]


def record(uri: str) -> None:
    recorder = JobRecorder.connect(uri, "weak", 5.0)
    for url in ("http://host/a.jpg", "http://host/b.jpg"):
        recorder.record([ImageJob.new("weak", url)])
    recorder.close()


def read(uri: str) -> None:
    with open_documents(uri, "weak") as documents:
        documents.status(["weak"])
        documents.count({})
        next(documents.pages({}, {"_id": 1}))
        list(documents.pages({}, {"_id": 1}))


def list_failures(uri: str) -> None:
    with open_collection(uri, "weak") as documents:
        find_failures(documents, None, 3)


def diagnose(uri: str) -> None:
    check_mongodb(uri, "weak")


def run_jobs(uri: str) -> None:
    store = MongoStore(uri, "weak", call_s=10.0)
    new_id = str(ObjectId())
    store.check(job(new_id), "m")
    store.save(job(new_id), result(), 1, NO_DOCUMENT)
    store.check(job(new_id, at_ms=1), "m")  # the vector is current: only the time is written
    store.save_failure(failure(job(new_id, "b", 5)))
    store.close()


@pytest.mark.parametrize("options", WEAK_URIS)
@pytest.mark.parametrize(
    ("use", "writes"), [(record, True), (read, False), (list_failures, False), (diagnose, False), (run_jobs, True)]
)
def test_reads_are_from_the_primary_and_writes_wait_for_a_majority(
    use: Callable[[str], None], writes: bool, options: str, stack: Stack
) -> None:
    with recorded_commands() as commands:
        use(f"{stack.mongodb_uri}?{options}")
    reads = [command for command in commands if any(name in command for name in READS)]
    assert {command["readConcern"]["level"] for command in reads} == {"local"}
    assert {mode_of(command) for command in commands} <= {None, "primary", "primaryPreferred"}
    written = [command["writeConcern"] for command in commands if any(name in command for name in WRITES)]
    assert bool(written) is writes
    assert all(concern == {"w": "majority", "wtimeout": 5000} for concern in written)


@pytest.mark.parametrize("options", WEAK_URIS)
def test_no_collection_reads_from_a_secondary(options: str, stack: Stack) -> None:
    """A single server gets no read preference, so the commands alone do not show it."""
    uri = f"{stack.mongodb_uri}?{options}"
    store = MongoStore(uri, "weak", call_s=10.0)
    store.close()
    collection = connect_collection(uri, "weak")
    with collection.database.client, open_collection(uri, "weak") as opened:
        used = (store._collection, collection, opened, opened.database)
        assert [one.read_preference for one in used] == [ReadPreference.PRIMARY] * 4


def mode_of(command: dict[str, Any]) -> str | None:
    mode: str | None = command.get("$readPreference", {}).get("mode")
    return mode
