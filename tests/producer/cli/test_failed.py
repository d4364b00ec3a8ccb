"""`clipqueue failed`: counts and samples of each error code, also for documents with invalid records."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from click.testing import CliRunner, Result

from producer.cli.failed import failed
from tests.support.commands import invoke

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.collection import Collection

    from producer.local.stack import Stack

Document = dict[str, Any]
NEWEST = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def collection(stack: Stack) -> Iterator[Collection[Document]]:
    """A new, empty collection."""
    with pymongo.MongoClient[Document](stack.mongodb_uri) as client:
        collection = client["clipqueue"][f"failed_{uuid.uuid4().hex}"]
        yield collection
        collection.drop()


def show(stack: Stack, collection: Collection[Document], *arguments: str) -> Result:
    env = {"MONGODB_URI": stack.mongodb_uri, "CLIPQUEUE_COLLECTION": collection.name}
    return CliRunner(env=env).invoke(failed, arguments)


def read_json(stack: Stack, collection: Collection[Document], *arguments: str) -> list[Document]:
    return [json.loads(line) for line in show(stack, collection, "--json", *arguments).stdout.splitlines()]


def failure(image_id: str, code: Any, *, hours_ago: int = 0, **error: Any) -> Document:
    url = f"https://host/{image_id}.jpg"
    job = {"status": "failed", "url": f"{url}?sig=deadbeef", "finished_at": NEWEST - timedelta(hours=hours_ago)}
    message = {"code": code, "stage": "fetch", "message": f"{url}?sig=deadbeef answered", **error}
    return {"_id": image_id, "embedding_job": {**job, "error": message}}


@pytest.fixture
def some(collection: Collection[Document]) -> None:
    """One failure of one code, four of another, and documents without a failure."""
    collection.insert_many([failure(f"photo-{number}", "http_404", hours_ago=number) for number in (2, 0, 3, 1)])
    collection.insert_one(failure("photo-9", "corrupt_image", hours_ago=9, stage="decode"))
    done = {"status": "done", "error": {"code": "http_404"}}
    collection.insert_many([{"_id": "done", "embedding_job": done}, {"_id": "new"}, {"_id": "odd", "embedding_job": 5}])


def test_codes_are_sorted_by_count_with_their_newest_images(
    stack: Stack, collection: Collection[Document], some: None
) -> None:
    done = show(stack, collection)
    assert done.exit_code == 0
    assert [line for line in done.stdout.splitlines() if not line.startswith("    ")] == [
        "code           stage   count  newest (UTC)",
        "http_404       fetch       4  2026-01-02 03:04:05",
        "corrupt_image  decode      1  2026-01-01 18:04:05",
    ]
    samples = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("    photo")]
    assert samples == ["photo-0", "photo-1", "photo-2", "photo-9"]
    assert "https://host/photo-0.jpg answered" in done.stdout


def test_each_code_is_one_json_object(stack: Stack, collection: Collection[Document], some: None) -> None:
    groups = read_json(stack, collection)
    assert [group["code"] for group in groups] == ["http_404", "corrupt_image"]
    assert groups[1] == {
        "code": "corrupt_image",
        "stage": "decode",
        "count": 1,
        "newest": "2026-01-01T18:04:05+00:00",
        "samples": [
            {"id": "photo-9", "url": "https://host/photo-9.jpg", "message": "https://host/photo-9.jpg answered"}
        ],
    }


@pytest.mark.parametrize(("most", "shown"), [("0", 0), ("2", 2), ("9", 4)])
def test_the_option_samples_limits_the_images_of_a_code(
    stack: Stack, collection: Collection[Document], some: None, most: str, shown: int
) -> None:
    group = read_json(stack, collection, "--samples", most)[0]
    assert (group["count"], len(group["samples"])) == (4, shown)
    assert group["newest"] == NEWEST.isoformat()


def test_the_option_code_shows_one_code(stack: Stack, collection: Collection[Document], some: None) -> None:
    assert [group["code"] for group in read_json(stack, collection, "--code", "corrupt_image")] == ["corrupt_image"]
    none = show(stack, collection, "--code", "http_\x1b500")
    assert (none.exit_code, none.stdout) == (0, "no image has failed with code 'http_\N{REPLACEMENT CHARACTER}500'\n")


def test_without_failures_the_exit_code_is_0(stack: Stack, collection: Collection[Document]) -> None:
    done = show(stack, collection)
    assert (done.exit_code, done.stdout) == (0, "no image has failed\n")
    assert read_json(stack, collection) == []


def test_the_option_names_another_collection(stack: Stack, collection: Collection[Document], some: None) -> None:
    env = {"MONGODB_URI": stack.mongodb_uri}
    assert "http_404" in CliRunner(env=env).invoke(failed, ["--collection", collection.name]).stdout
    assert show(stack, collection, "--collection", f"{collection.name}_none").stdout == "no image has failed\n"


def test_the_query_of_a_url_is_not_printed(stack: Stack, collection: Collection[Document], some: None) -> None:
    assert "deadbeef" not in show(stack, collection).stdout + show(stack, collection, "--json").stdout


INVALID_ERRORS: list[Any] = [
    None,
    "gone",
    [],
    {},
    {"code": None},
    {"code": 5},
    {"code": {"$gt": ""}},
    {"code": {"a": 1}},
    {"code": ["a"]},
    {"code": "a\x1b[2J\nFAIL", "stage": "b\x07", "message": "c\x1b]0;x\x07\u202e"},
    {"code": "x" * 5000, "stage": 5, "message": ["m"]},
    {"code": "long", "message": "m" * 100_000},
]


def test_invalid_records_are_counted_and_printed_without_control_characters(
    stack: Stack, collection: Collection[Document]
) -> None:
    jobs: list[Any] = [{"status": "failed", "error": error} for error in INVALID_ERRORS]
    jobs += [{"status": "failed", "url": url} for url in (5, "http://[::1", "a\x1b[2J", "http://host/\n?a=1")]
    jobs += [{"status": "failed", "finished_at": at} for at in ("now", 5, None)]
    for number, job in enumerate(jobs):
        collection.insert_one({"_id": f"odd-{number}\x1b[2J", "embedding_job": job})
    done = show(stack, collection, "--samples", "100")
    assert done.exit_code == 0, done.exception
    assert not [char for char in done.stdout if not char.isprintable() and char != "\n"]
    assert max(map(len, done.stdout.splitlines())) < 300
    assert sum(group["count"] for group in read_json(stack, collection)) == len(jobs)


def test_an_unavailable_or_missing_mongodb_is_a_message_without_the_password() -> None:
    unavailable = invoke("failed", MONGODB_URI="mongodb://user:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=200")
    assert unavailable.returncode == 1
    assert unavailable.stderr.startswith(
        "clipqueue: MongoDB at 127.0.0.1:1 did not answer: the connection was refused: "
    )
    assert "hunter2" not in unavailable.stderr
    assert "MONGODB_URI is not set" in invoke("failed").stderr
