"""`clipqueue index`, on a stand-in for MongoDB Atlas and on servers without vector search."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from producer.cli import vector_index
from tests.producer.search.photos import DIM, OTHER_MODEL, photo, unit
from tests.support.commands import Completed, invoke
from tests.support.vector_search import VectorSearchServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pymongo.collection import Collection

    from producer.local.stack import Stack

Document = dict[str, Any]


@pytest.fixture
def atlas(stack: Stack) -> Iterator[VectorSearchServer]:
    parts = urlsplit(stack.mongodb_uri)
    with VectorSearchServer((str(parts.hostname), int(parts.port or 0))) as server:
        yield server


@pytest.fixture
def shots(collection: Collection[Document]) -> Iterator[Collection[Document]]:
    shots = collection.database["indexed_shots"]
    yield shots
    shots.drop()


@pytest.fixture
def clipqueue(atlas: VectorSearchServer, shots: Collection[Document]) -> Callable[..., Completed]:
    """A function that runs `clipqueue index` on the stand-in."""

    def run(*arguments: str, **env: str) -> Completed:
        settings = {"MONGODB_URI": atlas.uri, "CLIPQUEUE_COLLECTION": shots.name, "CLIPQUEUE_FILTER_FIELDS": "album"}
        return invoke("index", *arguments, **{**settings, **env})

    return run


def definition(atlas: VectorSearchServer, name: str = "clipqueue") -> Document:
    return atlas.indexes["clipqueue", "indexed_shots", name].definition


def test_the_index_is_made_shown_and_dropped(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer, shots: Collection[Document]
) -> None:
    """The length of the vectors is read from the documents if no worker can be asked."""
    shots.insert_one(photo("a", unit(1)))
    assert "clipqueue: there is no index 'clipqueue'; make it" in clipqueue("show").stderr
    assert clipqueue("create").stdout.splitlines()[-1] == f"creating the index 'clipqueue' for vectors of length {DIM}"
    assert definition(atlas) == {
        "fields": [
            {
                "type": "vector",
                "path": "embedding",
                "numDimensions": DIM,
                "similarity": "cosine",
                "quantization": "none",
            },
            {"type": "filter", "path": "embedding_job.model"},
            {"type": "filter", "path": "album"},
        ]
    }
    assert clipqueue("create").stdout.splitlines()[-1] == "the index 'clipqueue' exists already"
    shown = clipqueue("show")
    assert shown.stdout.splitlines()[-3:] == [
        "clipqueue: READY (searches use it)",
        f"vectors of length {DIM}, compared by cosine, quantization none",
        "filter fields: embedding_job.model, album",
    ]
    assert clipqueue("drop").stdout.startswith("dropped the index 'clipqueue'; the indexes for the commands stay")
    assert clipqueue("drop").returncode == 1


def test_an_index_with_another_definition_is_changed(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer
) -> None:
    clipqueue("create", "--dim", "4")
    for quantization, key, value in (("none", "numDimensions", 5), ("scalar", "quantization", "scalar")):
        done = clipqueue("create", "--dim", "5", "--quantization", quantization)
        assert "changing the index 'clipqueue'" in done.stdout
        assert definition(atlas)["fields"][0][key] == value
    fields = {"CLIPQUEUE_FILTER_FIELDS": "album,year"}
    assert "lacks the filter fields year" in clipqueue("show", **fields).stderr
    clipqueue("create", "--dim", "5", "--quantization", "scalar", **fields)
    assert clipqueue("show", **fields).returncode == 0


def test_the_index_may_have_another_name(clipqueue: Callable[..., Completed], atlas: VectorSearchServer) -> None:
    clipqueue("create", "--dim", "3", CLIPQUEUE_SEARCH_INDEX="photos")
    assert definition(atlas, "photos")["fields"][0]["numDimensions"] == 3


def test_wait_returns_when_the_index_is_built(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_index, "_POLL_S", 0.01)
    atlas.build_at_once = False

    def finish() -> None:
        wait_for(lambda: atlas.indexes, "the index")
        atlas.finish_building()

    finisher = threading.Thread(target=finish)
    finisher.start()
    done = clipqueue("create", "--dim", "3", "--wait")
    finisher.join()
    assert "clipqueue: READY (searches use it)" in done.stdout
    for index in atlas.indexes.values():
        index.status = "FAILED"
    assert "could not build the index" in clipqueue("create", "--dim", "3", "--wait").stderr
    for index in atlas.indexes.values():
        index.status = "BUILDING"
    assert "BUILDING (searches cannot use it yet)" in clipqueue("show").stdout


def test_the_live_workers_decide_the_length(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer, stack: Stack, worker_log: Path
) -> None:
    done = clipqueue("create", REDIS_URL=stack.redis_url)
    assert "creating the index" in done.stdout, done.stderr
    assert definition(atlas)["fields"][0]["numDimensions"] > 1


def test_an_unknown_length_must_be_given(clipqueue: Callable[..., Completed], shots: Collection[Document]) -> None:
    assert "set --dim" in clipqueue("create").stderr
    unavailable = clipqueue("create", REDIS_URL="redis://127.0.0.1:1/0")
    assert "the length of the vectors is read from the documents" in unavailable.stderr
    other = photo("b", unit(1)[:3], OTHER_MODEL)
    other["embedding_job"]["dim"] = 3
    shots.insert_many([photo("a", unit(1)), other])
    assert f"vectors of several lengths, [3, {DIM}]" in clipqueue("create").stderr
    assert clipqueue("create", "--dim", "8193").returncode == 2


STATUS, CODE = "embedding_job.status", "embedding_job.error.code"
# Each with what makes it: equality, then sort; `failed` reads no document for its counts.
COMMANDS: list[Document] = [
    {"key": {STATUS: 1, "_id": 1}, "name": "clipqueue_status"},
    {"key": {STATUS: 1, "embedding_job.model": 1, "_id": 1}, "name": "clipqueue_models"},
    {
        "key": {STATUS: 1, CODE: 1, "embedding_job.finished_at": 1, "embedding_job.error.stage": 1},
        "name": "clipqueue_failed",
        "partialFilterExpression": {STATUS: "failed"},
    },
]
NO_SEARCH = "this MongoDB has no vector search, which needs Atlas, or mongodb-atlas-local; without it, "


def plain(atlas: VectorSearchServer) -> list[Document]:
    """Return the ordinary indexes, with the order of their keys."""
    return atlas.plain.by_place.get(("clipqueue", "indexed_shots"), [])


def test_the_indexes_of_the_commands_are_made_shown_and_kept(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer
) -> None:
    shown = clipqueue("show")
    assert "clipqueue_status: missing, on embedding_job.status, _id: for backfill, retry" in shown.stdout
    assert "missing: clipqueue_status, clipqueue_models, clipqueue_failed" in shown.stderr
    made = clipqueue("create", "--dim", "3")
    assert made.returncode == 0
    assert made.stdout.splitlines()[1].startswith(
        "made clipqueue_status on embedding_job.status, _id: for backfill, retry"
    )
    assert [list(index["key"]) for index in plain(atlas)] == [list(index["key"]) for index in COMMANDS]
    assert plain(atlas) == COMMANDS
    assert clipqueue("show").returncode == 0
    again = clipqueue("create", "--dim", "3")
    assert again.stdout.splitlines()[0].startswith("clipqueue_status: exists")
    assert "the indexes for the commands stay" in clipqueue("drop").stdout
    assert plain(atlas) == COMMANDS


def test_the_indexes_of_the_commands_do_not_wait_for_the_vector_search(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer
) -> None:
    """The length of the vectors is unknown, so there is no index for them yet, and the exit code says so."""
    done = clipqueue("create")
    assert done.returncode == 1
    assert "set --dim" in done.stderr
    assert plain(atlas) == COMMANDS


def test_with_the_field_of_the_url_a_backfill_needs_no_document(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer
) -> None:
    """The index with the URLs also does what the one with the models does, which is then not made."""
    clipqueue("create", "--dim", "3", "--url-field", "imageUrl")
    assert [index["name"] for index in plain(atlas)] == ["clipqueue_status", "clipqueue_urls", "clipqueue_failed"]
    assert list(plain(atlas)[1]["key"]) == [
        *COMMANDS[1]["key"],
        "embedding_job.url",
        "embedding_job.enqueued_at",
        "imageUrl",
    ]
    assert clipqueue("show").returncode == 0


def test_indexes_of_the_users_own_count(clipqueue: Callable[..., Completed], atlas: VectorSearchServer) -> None:
    own = {"key": {STATUS: -1, "_id": 1, "title": 1}, "name": "mine"}
    atlas.plain.by_place["clipqueue", "indexed_shots"] = [own]
    assert "mine: exists, on embedding_job.status, _id" in clipqueue("create", "--dim", "3").stdout
    assert plain(atlas) == [own, *COMMANDS[1:]]


def test_a_user_without_the_permission_is_told(clipqueue: Callable[..., Completed], atlas: VectorSearchServer) -> None:
    atlas.plain.is_allowed = False
    done = clipqueue("create", "--dim", "3")
    assert done.returncode == 1
    assert "did not make the indexes clipqueue_status, clipqueue_models, clipqueue_failed: the user in" in done.stderr
    assert "readWrite" in done.stderr


def test_without_vector_search_an_index_for_searches_in_memory_is_made(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer
) -> None:
    """It is no error, unless an option asks for the vector search."""
    atlas.refuses = (31082, "SearchNotEnabled")
    asked = clipqueue("create", "--dim", "3")
    assert (asked.returncode, plain(atlas)) == (1, COMMANDS)
    assert asked.stderr.startswith(f"clipqueue: {NO_SEARCH}")
    assert "missing: clipqueue_newest" in clipqueue("show").stderr
    done = clipqueue("create")
    assert (done.returncode, done.stderr) == (0, "")
    assert NO_SEARCH in done.stdout
    newest = {"key": {"embedding_job.model": 1, "embedding_job.finished_at": 1}, "name": "clipqueue_newest"}
    assert plain(atlas) == [*COMMANDS, newest]
    assert clipqueue("show").returncode == 0
    assert clipqueue("drop").stdout.startswith("dropped the index 'clipqueue_newest'")
    assert plain(atlas) == COMMANDS
    assert "there is no index 'clipqueue_newest'" in clipqueue("drop").stderr


def test_the_embedded_server_gets_indexes_too(
    clipqueue: Callable[..., Completed], shots: Collection[Document], stack: Stack
) -> None:
    """It cannot have an index on `_id` and other fields, so its indexes end before that."""
    shots.insert_one(photo("a", unit(1)))
    assert clipqueue("create", "--dim", "3", MONGODB_URI=stack.mongodb_uri).returncode == 1
    assert clipqueue("show", MONGODB_URI=stack.mongodb_uri).returncode == 1
    assert clipqueue("create", MONGODB_URI=stack.mongodb_uri).returncode == 0
    assert clipqueue("show", MONGODB_URI=stack.mongodb_uri).returncode == 0
    keys = [[field for field, _ in index["key"]] for index in shots.index_information().values()]
    assert [STATUS] in keys
    assert [STATUS, "embedding_job.model"] in keys
    assert clipqueue("drop", MONGODB_URI=stack.mongodb_uri).returncode == 0
    assert "missing: clipqueue_newest" in clipqueue("show", MONGODB_URI=stack.mongodb_uri).stderr
