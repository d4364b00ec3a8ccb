"""What the commands ask of MongoDB in a collection that is too large to be read: by their requests, and never by time.

`python -m tests.bench documents` measures the time, with a million documents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producer.documents.documents import PAGE, connect
from producer.documents.indexes import WANTED, wanted_with
from tests.producer.operations.shop import done, failed, pending, write_worker
from tests.support.commands import invoke
from tests.support.mongo_commands import recorded_commands

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from producer.local.stack import Stack

Document = dict[str, Any]
STATUS, MODEL = "embedding_job.status", "embedding_job.model"
READS = {"find", "aggregate", "count", "distinct"}
# Several pages are done. All others fit one page, so that a backfill asks for each of them once.
RECORDS: list[tuple[int, Document | None]] = [
    (3 * PAGE, done(model="new")),
    (300, done(model="old")),
    (20, failed()),
    (300, pending()),
    (20, None),
]
BACKFILL = ("backfill", "--url-field", "imageUrl")
COMMANDS = [("status", "photo-00001"), ("failed",), ("doctor",), ("retry",), ("sweep",), BACKFILL]


@pytest.fixture(scope="module")
def env(own: Stack) -> dict[str, str]:
    return {"REDIS_URL": own.redis_url, "MONGODB_URI": own.mongodb_uri, "CLIPQUEUE_COLLECTION": "large"}


@pytest.fixture(scope="module")
def large(own: Stack, env: dict[str, str]) -> None:
    """A few thousand documents with vectors, and the indexes."""
    documents = connect(own.mongodb_uri, "large")
    records = [record for count, record in RECORDS for _ in range(count)]
    documents._collection.insert_many([_document(number, record) for number, record in enumerate(records)])
    documents.close()
    assert invoke("index", "create", **env).returncode == 0


def _document(number: int, record: Document | None) -> Document:
    document: Document = {"_id": f"photo-{number:05}", "imageUrl": "http://host/a.jpg", "embedding": [0.5] * 64}
    return document if record is None else {**document, "embedding_job": record}


@pytest.fixture
def reads(large: None, env: dict[str, str], own_broker: redis.Redis) -> Callable[..., list[Document]]:
    """A function that runs a command with a worker of the model `new`, and returns the command's reads."""
    write_worker(own_broker, "one@host", "new", "large")

    def run(*arguments: str) -> list[Document]:
        with recorded_commands() as commands:
            assert invoke(*arguments, **env).stderr == ""
        return [command for command in commands if READS & set(command)]

    return run


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_each_request_is_bounded_and_leaves_the_vectors_out(
    reads: Callable[..., list[Document]], command: tuple[str, ...]
) -> None:
    found = reads(*command)
    assert found
    for one in found:
        assert one["maxTimeMS"] > 0
    for one in (one for one in found if "find" in one):
        assert set(one["projection"].values()) == {1}
        assert "embedding" not in one["projection"]
        assert "$in" in one["filter"].get("_id", {}) or one["limit"] <= PAGE


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_index_serves_each_request(reads: Callable[..., list[Document]], command: tuple[str, ...]) -> None:
    """First the fields that are compared for equality, then the one that sorts: MongoDB sorts nothing itself."""
    found = reads(*command)
    for one in (one for one in found if "find" in one):
        assert _is_served(_conditions(one["filter"]), list(one.get("sort", {}))), one["filter"]
    for one in (one for one in found if "aggregate" in one):
        match = one["pipeline"][0]["$match"]
        assert list(match) == [STATUS]
        assert isinstance(match[STATUS], str)


def _conditions(query: Document) -> Document:
    """Return the conditions on each field, without `$and`."""
    flat: Document = {}
    for name, value in query.items():
        for part in value if name == "$and" else [{name: value}]:
            flat |= part if name != "$and" else _conditions(part)
    return flat


def _is_served(conditions: Document, sort: list[str]) -> bool:
    if "$in" in conditions.get("_id", {}):
        return True
    if list(conditions) == [STATUS] and conditions[STATUS] == {"$nin": ["done", "failed", "pending", None]}:
        return True  # documents that other programs wrote: the index has hardly any, and sorting them costs nothing
    fields = {name for name, value in conditions.items() if name != "_id" and not _is_range(value)}
    keys = [index.key for index in WANTED]
    return any(set(key[: len(fields)]) == fields and [*key[len(fields) :]][: len(sort)] == sort for key in keys)


def _is_range(value: Any) -> bool:
    return isinstance(value, dict) and list(value) != ["$eq"]


def test_a_backfill_compares_urls_from_an_index_alone(reads: Callable[..., list[Document]]) -> None:
    """With `index create --url-field`: of the current vectors, it asks for nothing that the index does not hold."""
    current = [one for one in reads(*BACKFILL, "--restart") if _conditions(one.get("filter", {})).get(MODEL) == "new"]
    assert len(current) > RECORDS[0][0] / PAGE
    index = wanted_with("imageUrl")[1]
    for one in current:
        assert {"_id", *one["projection"]} <= set(index.key)


def test_the_page_counts_images_from_the_index(own: Stack, large: None) -> None:
    """An estimate of the rest is enough: no request reads the documents without a result."""
    with recorded_commands() as commands:
        documents = connect(own.mongodb_uri, "large")
        counts = documents.statuses()
        documents.close()
    assert counts == {"done": 3 * PAGE + 300, "failed": 20, "pending": 320}
    matches = [one["pipeline"][0]["$match"] for one in commands if "aggregate" in one]
    assert matches == [{STATUS: "done"}, {STATUS: "failed"}]
    assert [one["count"] for one in commands if "count" in one] == ["large"]
