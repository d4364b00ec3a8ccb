"""The indexes of the commands: which of a user's own count, and what a request that runs out of time says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from producer.cli.output import CANNOT_TELL
from producer.contract.errors import StoreUnavailable
from producer.documents.documents import connect
from producer.documents.indexes import FAILED, NEWEST, STATUS, Index
from tests.support.commands import invoke
from tests.support.vector_search import VectorSearchServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.documents.documents import ImageDocuments
    from producer.local.stack import Stack

S = "embedding_job.status"
FAILED_KEY = [(field, 1) for field in FAILED.key]
FAILED_ONLY = {S: "failed"}


@pytest.mark.parametrize(
    ("index", "found", "serves"),
    [
        (STATUS, {"key": [(S, 1), ("_id", 1)]}, True),
        (STATUS, {"key": [(S, 1), ("_id", 1), ("title", "text")]}, True),
        (STATUS, {"key": [(S, -1), ("_id", -1)]}, True),
        (STATUS, {"key": [(S, 1)]}, False),
        (STATUS, {"key": [("_id", 1), (S, 1)]}, False),
        (STATUS, {"key": [(S, "hashed"), ("_id", 1)]}, False),
        (STATUS, {"key": [("title", 1), (S, 1), ("_id", 1)]}, False),
        (STATUS, {"key": [(S, 1), ("_id", 1)], "sparse": True}, False),
        (STATUS, {"key": [(S, 1), ("_id", 1)], "hidden": True}, False),
        (STATUS, {"key": [(S, 1), ("_id", 1)], "partialFilterExpression": {"url": {"$exists": True}}}, False),
        (STATUS, {"key": [(S, 1), ("_id", 1)], "partialFilterExpression": FAILED_ONLY}, False),
        (STATUS, {"key": [(S, 1), ("_id", 1)], "collation": {"locale": "de"}}, False),
        (FAILED, {"key": FAILED_KEY}, True),
        (FAILED, {"key": FAILED_KEY, "partialFilterExpression": FAILED_ONLY}, True),
        (FAILED, {"key": FAILED_KEY, "partialFilterExpression": {S: "done"}}, False),
        (FAILED, {"key": FAILED_KEY[:3]}, False),
    ],
)
def test_an_index_of_the_users_own_counts_if_it_does_the_same(
    index: Index, found: dict[str, Any], serves: bool
) -> None:
    assert index.is_served_by("mine", found) is serves


def test_an_index_that_clipqueue_made_has_the_collation_of_its_collection() -> None:
    """MongoDB gives it that one; without this exception it would be missing for ever."""
    found = {"key": [(S, 1), ("_id", 1)], "collation": {"locale": "de"}}
    assert STATUS.is_served_by("clipqueue_status", found)
    assert not NEWEST.is_served_by("clipqueue_newest", found)


@pytest.fixture(scope="module")
def slow(stack: Stack) -> Iterator[VectorSearchServer]:
    """A server that ends none of these requests within their time."""
    parts = urlsplit(stack.mongodb_uri)
    with VectorSearchServer((str(parts.hostname), int(parts.port or 0)), slow={"find", "aggregate", "count"}) as server:
        yield server


@pytest.fixture
def documents(slow: VectorSearchServer) -> Iterator[ImageDocuments]:
    documents = connect(slow.uri, "timed")
    yield documents
    documents.close()


REQUESTS: dict[str, Callable[[ImageDocuments], object]] = {
    "status": lambda documents: documents.status(["photo-1"]),
    "pages": lambda documents: list(documents.pages({}, {"_id": 1})),
    "count": lambda documents: documents.count({}),
    "statuses": lambda documents: documents.statuses(),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_each_request_has_a_limit_and_names_the_missing_indexes(documents: ImageDocuments, name: str) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        REQUESTS[name](documents)
    assert str(raised.value).endswith(
        " did not finish the request in time, and these indexes are missing: clipqueue_status, clipqueue_models, "
        "clipqueue_failed. Run `clipqueue index create`"
    )


def test_with_all_indexes_a_slow_server_is_busy(slow: VectorSearchServer, documents: ImageDocuments) -> None:
    assert invoke("index", "create", "--dim", "3", MONGODB_URI=slow.uri, CLIPQUEUE_COLLECTION="timed").returncode == 0
    with pytest.raises(StoreUnavailable, match="in time: it is busy, or a --query needs an index of its own"):
        documents.count({})


@pytest.mark.parametrize(("command", "exit_code"), [(("failed",), 1), (("status", "photo-1"), CANNOT_TELL)])
def test_a_command_that_runs_out_of_time_says_what_to_do(
    slow: VectorSearchServer, command: tuple[str, ...], exit_code: int
) -> None:
    done = invoke(*command, MONGODB_URI=slow.uri, CLIPQUEUE_COLLECTION="untimed")
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert done.stderr.startswith(
        f"clipqueue: MongoDB at 127.0.0.1:{slow.port} did not finish the request in time, and "
    )
    assert done.stderr.endswith("clipqueue_failed. Run `clipqueue index create`\n")
