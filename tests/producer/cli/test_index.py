"""`clipqueue index`, on a stand-in for MongoDB Atlas and on servers without vector search."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from producer.cli import index as index_command
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
    assert clipqueue("show").stderr.startswith("clipqueue: there is no index 'clipqueue'")
    assert clipqueue("create").stdout == f"creating the index 'clipqueue' for vectors of length {DIM}\n"
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
    assert clipqueue("create").stdout == "the index 'clipqueue' exists already\n"
    shown = clipqueue("show")
    assert shown.stdout.splitlines() == [
        "clipqueue: READY (searches use it)",
        f"vectors of length {DIM}, compared by cosine, quantization none",
        "filter fields: embedding_job.model, album",
    ]
    assert clipqueue("drop").stdout == "dropped the index 'clipqueue'\n"
    assert clipqueue("drop").returncode == 1


def test_an_index_with_another_definition_is_changed(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer
) -> None:
    clipqueue("create", "--dim", "4")
    for quantization, key, value in (("none", "numDimensions", 5), ("scalar", "quantization", "scalar")):
        done = clipqueue("create", "--dim", "5", "--quantization", quantization)
        assert done.stdout.startswith("changing the index 'clipqueue'")
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
    monkeypatch.setattr(index_command, "_POLL_S", 0.01)
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
    assert done.stdout.startswith("creating the index"), done.stderr
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


def test_a_server_without_vector_search_is_named(
    clipqueue: Callable[..., Completed], atlas: VectorSearchServer, stack: Stack
) -> None:
    message = "clipqueue: this MongoDB has no vector search, which needs Atlas, or mongodb-atlas-local; without it, "
    assert clipqueue("create", "--dim", "3", MONGODB_URI=stack.mongodb_uri).stderr.startswith(message)
    atlas.refuses = (31082, "SearchNotEnabled")
    for command in (("create", "--dim", "3"), ("show",), ("drop",)):
        assert clipqueue(*command).stderr.startswith(message)
