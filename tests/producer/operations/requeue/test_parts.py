"""What a backfill asks MongoDB for: only documents that may need a job, and no vector."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from producer.operations.requeue.parts import both, parts_of
from producer.operations.requeue.selection import ALL, FAILED, MISSING, MISSING_OR_STALE, STALE, Selection
from tests.producer.operations.shop import FIELD, URL, Document, done, failed, pending, photo
from tests.support.commands import invoke
from tests.support.mongo_commands import READS, recorded_commands
from tests.support.mongo_proxy import MongoProxy, error_answer
from tests.support.queued import queued_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack

STATUS, MODEL = "embedding_job.status", "embedding_job.model"


@pytest.mark.parametrize("only", [ALL, FAILED, MISSING, MISSING_OR_STALE, STALE])
@pytest.mark.parametrize("model", [None, "m"])
@pytest.mark.parametrize("url_field", ["url", "embedding_job.url", "embedding_job"])
def test_every_part_names_fields_without_the_vector_and_follows_the_one_before(
    only: str, model: str | None, url_field: str
) -> None:
    parts = list(parts_of(Selection(url_field, only, model), lambda: ["z", "a", None, "m", 7]))
    assert all(part.fields and "embedding" not in part.fields for part in parts)
    assert all(one.name < other.name for one, other in itertools.pairwise(parts))


def test_each_part_is_an_equality_that_an_index_serves() -> None:
    parts = list(parts_of(Selection("url", model="m"), lambda: ["old", "m", None, {"$gt": 1}]))
    assert [part.query for part in parts] == [
        {STATUS: {"$eq": None}},
        {STATUS: "pending"},
        {STATUS: {"$nin": ["done", "failed", "pending", None]}},
        {STATUS: "done", MODEL: {"$eq": "old"}},
        {STATUS: "done", MODEL: {"$eq": {"$gt": 1}}},
        {STATUS: "done", MODEL: {"$eq": None}},
        {STATUS: "done", MODEL: "m"},
    ]
    compared = {"embedding_job.status", "embedding_job.model", "embedding_job.url", "embedding_job.enqueued_at", "url"}
    assert set(parts[-1].fields) == compared, "an index that has them spares MongoDB the documents"


def test_two_queries_are_one_unless_they_are_on_the_same_field() -> None:
    assert both({}, {STATUS: "failed"}) == {STATUS: "failed"}
    assert both({"kind": "photo"}, {STATUS: "failed"}) == {"kind": "photo", STATUS: "failed"}
    assert both({STATUS: "done"}, {STATUS: "failed"}) == {"$and": [{STATUS: "done"}, {STATUS: "failed"}]}


def test_the_first_page_is_read_before_anything_is_counted(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([photo("new"), photo("current", record=done()), photo("other", record=done(model="old"))])
    with recorded_commands() as commands:
        assert invoke("backfill", *FIELD, "--model", "m", **env).stdout == "enqueued 2, skipped 1, unusable 0\n"
    names = [next(iter(command)) for command in commands if next(iter(command)) in (*READS, "distinct")]
    models_at = names.index("distinct")
    assert names.count("distinct") == 1
    first = [command for command in commands if next(iter(command)) in READS]
    assert STATUS in str(first[0])
    assert models_at > 0, "the documents without a result come first"
    assert "count" not in names
    assert queued_ids(queue) == ["new", "other"]


@pytest.mark.parametrize(("only", "skipped"), [("missing", 0), ("failed", 0), ("stale", 1)])
def test_documents_in_another_state_are_not_read(
    only: str, skipped: int, queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """Of those with the current model, their URLs are read: MongoDB has no index that compares two fields."""
    shop.insert_many([
        photo("missing"),
        photo("failed", record=failed()),
        photo("stale", record=done(model="old")),
        photo("current", record=done()),
    ])  # fmt: skip
    completed = invoke("backfill", *FIELD, "--model", "m", "--only", only, **env)
    assert completed.stdout == f"enqueued 1, skipped {skipped}, unusable 0\n"
    assert queued_ids(queue) == [only]


@pytest.mark.parametrize("model", ["old", 7, None, ["m"]])
def test_a_vector_of_any_other_model_is_stale(
    model: Any, queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([photo("a", record={**done(), "model": model}), photo("b", record=done())])
    assert invoke("backfill", *FIELD, "--model", "m", **env).returncode == 0
    assert queued_ids(queue) == ["a"]


def test_a_backfill_continues_in_the_part_where_it_stopped(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """Each part starts with its first document, although its id is before those of the part before."""
    documents = [photo(f"d-{number}") for number in (5, 6)]
    documents += [photo(f"c-{number}", record=pending()) for number in (3, 4)]
    documents += [photo(f"b-{number}", record=done(model="old")) for number in (1, 2)]
    documents += [photo("a", record=done("http://host/other.jpg"))]
    shop.insert_many(documents)
    for _ in documents:
        assert invoke("backfill", *FIELD, "--model", "m", "--limit", "1", **env).returncode == 0
    assert queued_ids(queue) == ["d-5", "d-6", "c-3", "c-4", "b-1", "b-2", "a"]


@contextmanager
def without_models(stack: Stack) -> Iterator[str]:
    """Yield the URI of a MongoDB that cannot find the models in time."""
    address = urlsplit(stack.mongodb_uri)

    def answer(command: Document) -> Document | None:
        late = error_answer(50, "MaxTimeMSExpired", "operation exceeded time limit")
        return late if "distinct" in command else None

    with MongoProxy((address.hostname or "", address.port or 0), answer) as proxy:
        yield proxy.uri


def test_if_mongodb_cannot_find_the_models_in_time_each_vector_is_compared(
    stack: Stack, queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    shop.insert_many([photo("old", record=done(model="old")), photo("url", record=done(URL + "?old")), photo("a")])
    shop.insert_one(photo("current", record=done()))
    with without_models(stack) as uri:
        completed = invoke("backfill", *FIELD, "--model", "m", **{**env, "MONGODB_URI": uri})
    assert completed.stdout == "enqueued 3, skipped 1, unusable 0\n"
    assert queued_ids(queue) == ["a", "old", "url"]


@pytest.mark.parametrize("found_in", [(), (1,), (0, 2), (3, 4)])
def test_no_document_is_left_out_when_the_runs_differ_in_whether_the_models_are_found(
    found_in: tuple[int, ...], stack: Stack, queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    """MongoDB needs long for the models at first, and not when the index was made: the runs read other parts."""
    shop.insert_many([photo(f"old-{number}", record=done(model="old")) for number in range(3)])
    shop.insert_many([photo(f"url-{number}", record=done(URL + "?old")) for number in range(2)])
    command = ("backfill", *FIELD, "--model", "m", "--limit", "1")
    with without_models(stack) as slow:
        for run in range(10):
            uri = stack.mongodb_uri if run in found_in else slow
            if "limit" not in invoke(*command, **{**env, "MONGODB_URI": uri}).stderr:
                break
    assert set(queued_ids(queue)) == {"old-0", "old-1", "old-2", "url-0", "url-1"}
