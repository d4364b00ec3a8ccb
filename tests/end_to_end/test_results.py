"""A URL goes in on Redis, a vector stands in MongoDB: a real worker process on the embedded servers."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bson import ObjectId

from tests.support.messages import hand_made_message
from tests.support.pictures import encoded, photo, small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for
from worker.encode.weights import model_id

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from producer.client.client import EmbeddingClient
    from tests.support.servers import ImageServer

Document = dict[str, Any]
ResultOf = Callable[[Any], Document]

pytestmark = pytest.mark.usefixtures("worker_log")


@pytest.mark.parametrize("as_object_id", [False, True], ids=["string id", "ObjectId"])
def test_a_hand_made_message_becomes_the_documented_document(
    as_object_id: bool,
    broker: redis.Redis,
    collection: Collection[Document],
    images: ImageServer,
    result_of: ResultOf,
    new_id: str,
) -> None:
    """Any program that can LPUSH is a producer; the backend's own fields survive."""
    stored_id: Any = ObjectId() if as_object_id else new_id
    wire_id: Any = {"$oid": str(stored_id)} if as_object_id else stored_id
    collection.insert_one({"_id": stored_id, "title": "Raccoon", "url": "https://backend.example/own", "tags": [1, 2]})
    url = images.add("/raccoon.jpg", encoded(photo(), "JPEG"))
    enqueued_at = int(time.time() * 1000)

    message = hand_made_message({"image_id": wire_id, "url": url, "enqueued_at": enqueued_at, "color": "ignored"})
    broker.lpush("images", message)

    document = result_of(stored_id)
    assert set(document) == {"_id", "title", "url", "tags", "embedding", "embedding_job"}
    assert (document["title"], document["url"], document["tags"]) == ("Raccoon", "https://backend.example/own", [1, 2])
    assert len(document["embedding"]) == 256
    assert np.linalg.norm(document["embedding"]) == pytest.approx(1.0, abs=1e-5)
    job = document["embedding_job"]
    assert job.pop("sha256") == hashlib.sha256(encoded(photo(), "JPEG")).hexdigest()
    assert job.pop("enqueued_at") == datetime.fromtimestamp(enqueued_at / 1000, UTC)
    assert abs((datetime.now(UTC) - job.pop("finished_at")).total_seconds()) < 60
    assert job == {
        "status": "done",
        "model": model_id("emoji-clip", "bundled"),
        "dim": 256,
        "url": url,
        "width": 1024,
        "height": 768,
        "format": "JPEG",
        "attempts": 1,
    }


def test_a_document_that_did_not_exist_gets_the_url(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    url = images.add("/new.jpg", small_jpeg())
    client.enqueue(new_id, url)
    assert result_of(new_id)["url"] == url


def test_failures_are_recorded_and_their_neighbours_are_done(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    """A 404, a text file, a host that does not exist and a damaged file, in one batch with good images."""
    good = [(f"{new_id}-good-{n}", images.add(f"/good-{n}.jpg", small_jpeg(n))) for n in range(8)]
    bad = [
        (f"{new_id}-404", images.add("/gone.jpg", Answer(b"gone", 404))),
        (f"{new_id}-text", images.add("/notes.jpg", b"not a picture at all")),
        (f"{new_id}-host", "http://no..such.host/image.jpg"),
        (f"{new_id}-cut", images.add("/cut.jpg", encoded(photo(), "JPEG")[:20_000])),
    ]
    assert client.enqueue_many([*good[:4], *bad, *good[4:]]) == 12

    assert {result_of(image_id)["embedding_job"]["status"] for image_id, _ in good} == {"done"}
    failures = {}
    for image_id, url in bad:
        document = result_of(image_id)
        job = document["embedding_job"]
        assert "embedding" not in document
        assert (job["status"], job["url"], job["attempts"]) == ("failed", url, 1)
        failures[image_id.removeprefix(new_id)] = (job["error"]["stage"], job["error"]["code"])
        assert len(job["error"]["message"]) > 10
    assert failures == {
        "-404": ("fetch", "http_404"),
        "-text": ("decode", "unsupported_format"),
        "-host": ("fetch", "unknown_host"),
        "-cut": ("decode", "corrupt_image"),
    }


def test_a_busy_server_is_tried_again(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    busy = Answer(b"later", 503)
    client.enqueue(new_id, images.add("/busy.jpg", busy, busy, Answer(small_jpeg())))
    job = result_of(new_id)["embedding_job"]
    assert (job["status"], job["attempts"]) == ("done", 3)


def test_spent_retries_end_as_failed(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    client.enqueue(new_id, images.add("/broken.jpg", Answer(b"", 500)))
    job = result_of(new_id)["embedding_job"]
    assert (job["status"], job["error"]["code"], job["attempts"]) == ("failed", "http_500", 3)
    assert images.hits["/broken.jpg"] == 3


def test_a_failed_re_embed_keeps_the_earlier_vector(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str, collection: Collection[Document]
) -> None:
    client.enqueue(new_id, images.add("/first.jpg", small_jpeg()))
    before = result_of(new_id)
    client.enqueue(new_id, images.add("/second.jpg", Answer(b"", 410)))
    after = wait_for(
        lambda: collection.find_one({"_id": new_id, "embedding_job.status": "failed"}), "the failed re-embed"
    )
    assert after["embedding"] == before["embedding"]
    assert after["embedding_job"]["error"]["code"] == "http_410"
    assert after["embedding_job"]["model"] == before["embedding_job"]["model"]


def test_a_vector_that_is_there_is_not_made_again_unless_forced(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    url = images.add("/once.jpg", small_jpeg())
    client.enqueue(new_id, url)
    first = result_of(new_id)["embedding_job"]

    client.enqueue(new_id, url)
    wait_for(
        lambda: result_of(new_id)["embedding_job"]["enqueued_at"] > first["enqueued_at"],
        "the second job to be noted",
    )
    assert images.hits["/once.jpg"] == 1

    client.enqueue(new_id, url, force=True)
    wait_for(lambda: images.hits["/once.jpg"] == 2, "the forced job to download")


@pytest.mark.parametrize(
    ("kwargs", "complaint"),
    [
        ({}, "url"),
        ({"url": 7}, "url must be a string"),
        ({"url": "ftp://host/file"}, "scheme"),
        ({"url": "http://host/", "enqueued_at": "yesterday"}, "enqueued_at"),
        ({"url": "http://host/", "force": "yes"}, "force"),
    ],
)
def test_a_message_that_is_no_job_is_recorded_under_its_id(
    kwargs: Document, complaint: str, broker: redis.Redis, result_of: ResultOf, new_id: str
) -> None:
    broker.lpush("images", hand_made_message({"image_id": new_id, **kwargs}))
    document = result_of(new_id)
    error = document["embedding_job"]["error"]
    assert (error["code"], error["stage"]) == ("invalid_job", "receive")
    assert complaint in error["message"]
    assert "url" not in document


def test_the_query_of_a_signed_url_reaches_no_log(
    client: EmbeddingClient,
    broker: redis.Redis,
    images: ImageServer,
    result_of: ResultOf,
    new_id: str,
    worker_log: Path,
) -> None:
    """Neither when the image is done, nor when it fails, is tried again, or came from another producer."""
    query = "?X-Amz-Signature=deadbeef"
    urls = {
        f"{new_id}-done": images.add("/signed.jpg", small_jpeg()),
        f"{new_id}-gone": images.add("/signed-gone.jpg", Answer(b"", 403)),
        f"{new_id}-busy": images.add("/signed-busy.jpg", Answer(b"", 502), Answer(small_jpeg())),
        f"{new_id}-refused": "http://127.0.0.1:1/signed.jpg",
        f"{new_id}-redirect": images.add("/moved.jpg", Answer(status=302, headers={"Location": f"ftp://x/{query}"})),
    }
    for image_id, url in urls.items():
        client.enqueue(image_id, url + query)
        broker.lpush("images", hand_made_message({"image_id": f"{image_id}-other", "url": url + query}))

    messages = []
    for image_id in urls:
        both = (result_of(image_id), result_of(f"{image_id}-other"))
        messages += [document["embedding_job"].get("error", {}).get("message", "") for document in both]
    assert sum(bool(message) for message in messages) == 6
    log = worker_log.read_text()
    assert f"job={new_id}-done" in log
    assert "deadbeef" not in log + "".join(messages)


def test_threads_of_pytorch_spin_only_briefly(worker_log: Path) -> None:
    """libgomp itself says so: it was told before it was loaded."""
    assert "GOMP_SPINCOUNT = '50000'" in worker_log.read_text()


def test_log_lines_name_job_stages_and_milliseconds(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str, worker_log: Path
) -> None:
    client.enqueue(new_id, images.add("/logged.jpg", small_jpeg()))
    result_of(new_id)
    line = wait_for(
        lambda: next((line for line in worker_log.read_text().splitlines() if f"job={new_id} done" in line), None),
        "the job's log line",
    )
    for stage in ("fetch", "decode", "encode", "save"):
        assert f" {stage}=" in line
    assert "ms " in line


def spoiled(**changes: Any) -> str:
    """Return a message that is not what Celery expects, with a signed URL in it."""
    message = json.loads(hand_made_message({"image_id": "spoiled", "url": "http://host/a.jpg?sig=deadbeef"}))
    headers = {**message["headers"], **changes.pop("headers", {})}
    message.update(changes, headers={name: value for name, value in headers.items() if value is not DROPPED})
    return json.dumps({name: value for name, value in message.items() if value is not DROPPED})


def body(content: object) -> str:
    return base64.b64encode(json.dumps(content).encode()).decode()


DROPPED = object()
KWARGS = {"image_id": "a", "url": "http://host/a.jpg?sig=deadbeef"}
SPOILED = {
    "keyword arguments alone": spoiled(body=body(KWARGS)),
    "two of three parts": spoiled(body=body([[], KWARGS])),
    "a third part of the wrong type": spoiled(body=body([[], KWARGS, "x"])),
    "arguments of the wrong type": spoiled(body=body([None, KWARGS, {}])),
    "a number": spoiled(body=body(7)),
    "null": spoiled(body=body(None)),
    "an empty body": spoiled(body=""),
    "no body": spoiled(body=DROPPED),
    "no content type": spoiled(**{"content-type": DROPPED}),
    "pickle": spoiled(**{"content-type": "application/x-python-serialize"}),
    "no task id": spoiled(headers={"id": DROPPED}),
    "a task id that is no string": spoiled(headers={"id": {"a": 1}}),
    "an unknown task": spoiled(headers={"task": "no.such.task"}),
    "no time that can be read": spoiled(headers={"eta": "soon"}),
    "a time limit of the wrong type": spoiled(headers={"timelimit": 5}),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_message_that_is_no_task_is_dropped_and_the_next_one_is_done(
    what: str, broker: redis.Redis, images: ImageServer, result_of: ResultOf, new_id: str, worker_log: Path
) -> None:
    """Several of these end a stock Celery worker, go back to the queue and end the next one."""
    good = hand_made_message({"image_id": new_id, "url": images.add("/a.jpg", small_jpeg())})
    broker.lpush("images", SPOILED[what], good)
    assert result_of(new_id)["embedding_job"]["status"] == "done"
    wait_for(lambda: broker.hlen("unacked") == 0, "the message to be dropped and not to keep a thread's slot")
    assert broker.llen("images") == 0
    assert "deadbeef" not in worker_log.read_text()


@pytest.mark.parametrize("retries", ["abc", None, -5, 1.5])
def test_a_count_of_retries_that_cannot_be_is_none(
    retries: Any, broker: redis.Redis, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    url = images.add("/a.jpg", Answer(b"", 503), Answer(small_jpeg()))
    message = json.loads(hand_made_message({"image_id": new_id, "url": url}))
    message["headers"]["retries"] = retries
    broker.lpush("images", json.dumps(message))
    job = result_of(new_id)["embedding_job"]
    assert (job["status"], job["attempts"]) == ("done", 2)


def test_a_huge_count_of_retries_ends_them(
    broker: redis.Redis, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    message = json.loads(hand_made_message({"image_id": new_id, "url": images.add("/a.jpg", Answer(b"", 503))}))
    message["headers"]["retries"] = 10**30
    broker.lpush("images", json.dumps(message))
    assert result_of(new_id)["embedding_job"]["error"]["code"] == "http_503"
    assert images.hits["/a.jpg"] == 1


@pytest.mark.parametrize("names", [{"routing_key": "celery"}, {"exchange": "celery", "routing_key": "images"}])
def test_a_retry_comes_back_wherever_the_message_says_it_was_sent(
    names: dict[str, str], broker: redis.Redis, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    url = images.add("/a.jpg", Answer(b"", 503), Answer(small_jpeg()))
    message = json.loads(hand_made_message({"image_id": new_id, "url": url}))
    message["properties"]["delivery_info"].update(names)
    broker.lpush("images", json.dumps(message))
    assert result_of(new_id)["embedding_job"]["status"] == "done"
