"""How jobs end, from the queue to the document: a worker process on the embedded servers, with the fake encoder."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from producer.client.queue import push
from producer.contract.job import ImageJob, now_ms
from producer.contract.records import bson_date
from producer.documents.recording import JobRecorder
from tests.support.long_urls import longest_id, longest_url, picture_everywhere
from tests.support.messages import hand_made_message
from tests.support.pictures import encoded, photo, small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from producer.client.client import EmbeddingClient
    from producer.local.stack import Stack
    from tests.support.servers import ImageServer

Document = dict[str, Any]
ResultOf = Callable[[Any], Document]

pytestmark = pytest.mark.usefixtures("worker_log")


def test_a_new_document_gets_the_url(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    url = images.add("/new.jpg", small_jpeg())
    client.enqueue(new_id, url)
    assert result_of(new_id)["url"] == url


def test_the_longest_job_is_embedded(
    client: EmbeddingClient, broker: redis.Redis, new_id: str, result_of: ResultOf
) -> None:
    """Its message has the most bytes that a valid one can have, and a worker takes it. A presigned URL is as long."""
    with picture_everywhere() as server:
        jobs = {
            longest_id(new_id): longest_url(server.url),
            new_id: longest_url(f"{server.url}a.jpg?X-Amz-Security-Token=", "IQoJb3JpZ2luX2VjE%2F%2B"),
        }
        parked = broker.llen("clipqueue:parked")
        client.enqueue_many(jobs.items(), force=True)
        for image_id, url in jobs.items():
            document = result_of(image_id)
            assert (document["embedding_job"]["status"], document["embedding_job"]["url"]) == ("done", url)
            assert (len(url), document["url"]) == (8192, url)
    assert broker.llen("clipqueue:parked") == parked


def test_failures_are_recorded_and_the_rest_of_the_batch_is_done(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    """A 404, a text file, an unknown host and a damaged file are enqueued together with good images."""
    good = [(f"{new_id}-good-{n}", images.add(f"/good-{n}.jpg", small_jpeg(n))) for n in range(8)]
    bad = [
        (f"{new_id}-404", images.add("/gone.jpg", Answer(b"gone", 404))),
        (f"{new_id}-text", images.add("/notes.jpg", b"not an image")),
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


def test_a_busy_server_is_retried(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    busy = Answer(b"later", 503)
    client.enqueue(new_id, images.add("/busy.jpg", busy, busy, Answer(small_jpeg())))
    job = result_of(new_id)["embedding_job"]
    assert (job["status"], job["attempts"]) == ("done", 3)


def test_a_job_fails_after_its_last_retry(
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


def test_an_image_with_a_vector_is_embedded_again_only_with_force(
    client: EmbeddingClient, images: ImageServer, result_of: ResultOf, new_id: str
) -> None:
    url = images.add("/once.jpg", small_jpeg())
    client.enqueue(new_id, url)
    first = result_of(new_id)["embedding_job"]

    client.enqueue(new_id, url)
    wait_for(
        lambda: result_of(new_id)["embedding_job"]["enqueued_at"] > first["enqueued_at"],
        "the second job to be recorded",
    )
    assert images.hits["/once.jpg"] == 1

    client.enqueue(new_id, url, force=True)
    wait_for(lambda: images.hits["/once.jpg"] == 2, "the forced job to download")


def test_a_recorded_job_runs_although_its_time_is_replaced(
    broker: redis.Redis, images: ImageServer, result_of: ResultOf, new_id: str, stack: Stack
) -> None:
    """The backend's clock is 11 minutes ahead. The worker finds the task id of the message in the record."""
    job = ImageJob(new_id, images.add("/ahead.jpg", small_jpeg()), now_ms() + 660_000, task_id=str(uuid.uuid4()))
    with closing(JobRecorder.connect(stack.mongodb_uri, "images", 5.0)) as recorder:
        recorder.record([job])
    push(broker, [job])
    record = result_of(new_id)["embedding_job"]
    assert (record["status"], record["enqueued_at"] < bson_date(now_ms())) == ("done", True)


def test_the_query_of_a_signed_url_is_never_logged(
    client: EmbeddingClient,
    broker: redis.Redis,
    images: ImageServer,
    result_of: ResultOf,
    new_id: str,
    worker_log: Path,
) -> None:
    """The job is done, fails or is retried, and comes from our client or from another producer."""
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
    wait_for(lambda: f"job={new_id}-done" in worker_log.read_text(), "the line of the log")
    log = worker_log.read_text()
    assert "deadbeef" not in log + "".join(messages)


def test_the_log_line_of_a_job_has_the_milliseconds_of_each_stage(
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
