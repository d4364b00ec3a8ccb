"""`clipqueue search` and `clipqueue duplicates`, with a worker that embeds the query."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from producer.cli import search as search_command
from producer.client.client import EmbeddingClient
from producer.contract.records import bson_date
from tests.support.commands import Completed, invoke
from tests.support.pictures import small_jpeg
from tests.support.workers import FAKE_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

Document = dict[str, Any]
Clipqueue = "Callable[..., Completed]"

MODEL = FAKE_MODEL["CLIP_MODEL"]
TEXTS = ("a red bicycle", "a red car", "the sea at night")


@pytest.fixture(scope="module")
def picture() -> bytes:
    return small_jpeg()


@pytest.fixture(scope="module")
def gallery(stack: Stack, worker_log: Path, picture: bytes) -> Iterator[str]:
    """A collection with the vectors of three texts and of a picture; its name."""
    import pymongo  # noqa: PLC0415

    with (
        EmbeddingClient(stack.redis_url) as client,
        pymongo.MongoClient[Document](stack.mongodb_uri, tz_aware=True) as mongo,
    ):
        gallery = mongo["clipqueue"]["gallery"]
        for number, text in enumerate(TEXTS):
            gallery.insert_one(document(text, client.embed_text(text, timeout_s=30), number))
        gallery.insert_one(document("picture", client.embed_image(picture, timeout_s=30), 3))
        gallery.insert_one({"_id": "waiting", "url": "http://host/w.jpg"})
        yield gallery.name
        gallery.drop()


def document(key: str, vector: list[float], number: int) -> Document:
    job = {"status": "done", "model": MODEL, "dim": len(vector), "finished_at": bson_date(1_700_000_000_000)}
    job["url"] = f"https://cdn/{number}.jpg?signature=secret"
    return {"_id": key, "embedding": vector, "embedding_job": job, "number": number}


@pytest.fixture
def clipqueue(stack: Stack, gallery: str) -> Callable[..., Completed]:
    """A function that runs a command on the gallery."""

    def run(*arguments: str, **env: str) -> Completed:
        settings = {"MONGODB_URI": stack.mongodb_uri, "CLIPQUEUE_COLLECTION": gallery, "REDIS_URL": stack.redis_url}
        return invoke(*arguments, **{**settings, **env})

    return run


def found(done: Completed) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


def test_a_text_finds_the_image_with_its_vector(clipqueue: Callable[..., Completed]) -> None:
    lines = clipqueue("search", "a red bicycle").stdout.splitlines()
    assert lines[0] == " 1.000  a red bicycle     https://cdn/0.jpg"
    assert len(lines) == 4


def test_a_picture_is_read_from_a_file_or_a_url(
    clipqueue: Callable[..., Completed], picture: bytes, tmp_path: Path, images: ImageServer
) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(picture)
    for image in (str(path), images.add("/picture.jpg", picture)):
        hit = json.loads(clipqueue("search", "--image", image, "--limit", "1", "--json").stdout)
        assert (hit["id"], round(hit["score"], 3)) == ("picture", 1.0)
    assert "404" in clipqueue("search", "--image", f"{images.url}/none.jpg").stderr


def test_stored_images_are_searched_without_redis(clipqueue: Callable[..., Completed]) -> None:
    done = clipqueue("search", "--like", "a red bicycle", "--not-like", "a red car", "--json", REDIS_URL="")
    assert sorted(found(done)) == ["picture", "the sea at night"]


def test_options_restrict_the_hits(clipqueue: Callable[..., Completed]) -> None:
    fields = {"CLIPQUEUE_FILTER_FIELDS": "number, other"}
    wanted = json.dumps({"number": {"$lt": 2}})
    assert sorted(found(clipqueue("search", "x", "--filter", wanted, "--json", **fields))) == sorted(TEXTS[:2])
    assert len(found(clipqueue("search", "x", "--limit", "2", "--json"))) == 2
    assert found(clipqueue("search", "a red car", "--min-score", "0.99", "--json")) == ["a red car"]
    assert found(clipqueue("search", "a red car", "--within", "0.01", "--json")) == ["a red car"]
    everything = clipqueue("search", "a red car", "--dedupe", "0", "--json", "--exact")
    hits = [json.loads(line) for line in everything.stdout.splitlines()]
    assert hits[0]["duplicates"]
    assert len(hits) + sum(len(hit["duplicates"]) for hit in hits) == 4


def test_a_text_that_hits_should_not_resemble(clipqueue: Callable[..., Completed]) -> None:
    plain, without = (
        clipqueue("search", "the sea at night", *options, "--json").stdout.splitlines()
        for options in ((), ("--not", "a red car"))
    )
    scores = [{hit["id"]: hit["score"] for hit in map(json.loads, lines)}["a red car"] for lines in (plain, without)]
    assert scores[1] < scores[0]


def test_urls_are_shown_without_their_query(clipqueue: Callable[..., Completed]) -> None:
    for options in ((), ("--json",)):
        for command in (("search", "x"), ("duplicates", "--threshold", "0.5")):
            assert "secret" not in clipqueue(*command, *options).stdout


def test_a_terminal_gets_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link has the whole URL, unless it could end the link and control the terminal."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    url = "https://cdn/a.jpg?signature=x"
    assert search_command.shown_link(url) == f"\x1b]8;;{url}\x1b\\https://cdn/a.jpg\x1b]8;;\x1b\\"
    assert "\x1b" not in search_command.shown_link("https://cdn/\x1b]8;;evil")
    assert "\x1b" not in search_command.shown_link("javascript:alert(1)")
    assert search_command.shown_link(None) == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give a text, an image, or the id of a stored image"),
        (["x", "--limit", "0"], "limit: must be a whole number from 1 to 1000"),
        (["x", "--limit", "1001"], "limit: must be a whole number from 1 to 1000"),
        (["x", "--min-score", "2"], "min_score: must be from -1 to 1"),
        (["x", "--within", "-1"], "within: must be from 0 to 2"),
        (["x", "--dedupe", "nan"], "dedupe: must be from 0 to 1"),
        (["x", "--filter", "{"], "--filter is not valid JSON"),
        (["x", "--filter", '{"album": 1}'], "filter.album: this field is not in CLIPQUEUE_FILTER_FIELDS"),
        (["x", "--filter", "[]"], "filter: must be an object"),
        (["--image", "/no/such/file"], "/no/such/file cannot be read"),
        (["--image", "http://"], "image: the URL has no host"),
        (["--like", ""], "like: must be the id of an image"),
        ([" "], "text: must be a text that is not empty"),
        (["x" * 8193], "text: has more than 8192 characters"),
        (["x", *["--not", "y"] * 9], "not: has more than 8 texts"),
        (["x", "--model", "m" * 256], "model: must be the id of a model"),
    ],
)
def test_a_wrong_search_exits_with_2(clipqueue: Callable[..., Completed], arguments: list[str], complaint: str) -> None:
    done = clipqueue("search", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "complaint"),
    [
        (["x"], {"REDIS_URL": ""}, "REDIS_URL is not set"),
        (["x"], {"MONGODB_URI": ""}, "MONGODB_URI is not set"),
        (["x", "--model", "other/model"], {}, "no live worker answers queries with the model other/model"),
        (["--like", "nobody"], {}, "no document has the id 'nobody'"),
        (["--like", "waiting"], {}, "'waiting' has no vector yet"),
        (["--like", "picture", "--model", "other/model"], {}, "vectors of two models cannot be compared"),
        (["x", "--min-score", "1"], {}, "no image matches"),
        (["x"], {"CLIPQUEUE_COLLECTION": "empty"}, f"no image has a vector of {MODEL} yet"),
        (["x"], {"CLIPQUEUE_SCAN_MAX": "3"}, "more than 3 images have a vector"),
        (["x"], {"CLIPQUEUE_SCAN_MAX": "many"}, "CLIPQUEUE_SCAN_MAX must be a whole number"),
        (["x"], {"CLIPQUEUE_SCAN_MAX": "0"}, "CLIPQUEUE_SCAN_MAX must be at least 1"),
        (["x"], {"CLIPQUEUE_FILTER_FIELDS": "a,embedding"}, "'embedding' cannot be used"),
        (["x"], {"CLIPQUEUE_FILTER_FIELDS": "a.$b"}, "'a.$b' cannot be used"),
    ],
)
def test_a_search_that_fails_says_why(
    clipqueue: Callable[..., Completed], arguments: list[str], env: dict[str, str], complaint: str
) -> None:
    done = clipqueue("search", *arguments, **env)
    there_is_none = complaint.startswith("no image") or "nobody" in complaint or "waiting" in complaint
    assert (done.returncode, done.stdout) == (1 if there_is_none else 3, "")
    assert done.stderr.startswith("clipqueue: ")
    assert complaint in done.stderr


def test_without_a_worker_the_search_says_so(
    clipqueue: Callable[..., Completed], redis_url: str, queue: redis.Redis
) -> None:
    assert "no live worker answers queries" in clipqueue("search", "x", REDIS_URL=redis_url).stderr


def test_near_duplicates_are_listed_in_groups(
    clipqueue: Callable[..., Completed], stack: Stack, collection: Collection[Document]
) -> None:
    shots = collection.database["shots"]
    shots.delete_many({})
    vectors = {"a1": [1.0, 0, 0], "a2": [1, 0.02, 0], "b1": [0.0, 1, 0], "b2": [0, 1, 0.03], "alone": [0.0, 0, 1]}
    shots.insert_many([document(key, vector, 0) for key, vector in vectors.items()])
    done = clipqueue("duplicates", CLIPQUEUE_COLLECTION="shots", REDIS_URL="")
    assert done.stdout == (
        " 1.000  a1  https://cdn/0.jpg\n 1.000  a2  https://cdn/0.jpg\n\n"
        " 1.000  b1  https://cdn/0.jpg\n 1.000  b2  https://cdn/0.jpg\n\n"
    )
    assert done.stderr == "2 groups with 4 images\n"
    limited = clipqueue("duplicates", "--json", "--limit", "1", CLIPQUEUE_COLLECTION="shots")
    (group,) = map(json.loads, limited.stdout.splitlines())
    assert [image["id"] for image in group["images"]] == ["a1", "a2"]
    strict = clipqueue("duplicates", "--threshold", "0.9997", CLIPQUEUE_COLLECTION="shots")
    assert strict.stderr == "1 groups with 2 images\n"
    shots.insert_one({**document("other", [1.0, 0, 0], 0), "embedding_job": {"model": "other/model"}})
    assert "vectors of several models" in clipqueue("duplicates", CLIPQUEUE_COLLECTION="shots").stderr
    one = clipqueue("duplicates", "--model", MODEL, CLIPQUEUE_COLLECTION="shots")
    assert one.stderr == "2 groups with 4 images\n"
    assert clipqueue("duplicates", CLIPQUEUE_COLLECTION="empty").stderr == "0 groups with 0 images\n"
    assert "threshold: must be from 0.5 to 1" in clipqueue("duplicates", "--threshold", "0.4").stderr
    assert "limit: must be a whole number" in clipqueue("duplicates", "--limit", "0").stderr


@pytest.mark.parametrize("command", [("search", "x"), ("duplicates",)])
def test_a_missing_extra_is_named(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("producer.search.search", "producer.search.index"):
        monkeypatch.setitem(sys.modules, module, None)  # as if numpy or pymongo were not installed
    done = invoke(*command)
    assert done.returncode == (1 if command == ("duplicates",) else 3)
    assert "needs clipqueue's extra 'search'" in done.stderr
