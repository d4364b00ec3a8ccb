"""How many images a worker has in flight, and how workers share a queue."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from producer.client.client import EmbeddingClient
from tests.support.fake_encoder import FORWARD_PASS_S
from tests.support.pictures import encoded, photo, small_jpeg
from tests.support.servers import Answer, SocketServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import socket

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer

Document = dict[str, Any]

DONE = {"embedding_job.status": "done"}
FAILED = {"embedding_job.status": "failed"}
DONE_LINE = re.compile(r"job=(\S+) done batch=(\d+) ")


def test_two_workers_share_a_queue_and_embed_each_image_once_in_batches(
    start_worker: StartWorker, own: Stack, own_collection: Collection[Document], images: ImageServer, new_id: str
) -> None:
    # While one batch is in the model, the next images wait for it, as with a real model.
    workers = [start_worker(**{FORWARD_PASS_S: "0.02"}) for _ in range(2)]
    picture = photo().resize((256, 192))
    jobs = [
        (f"{new_id}-{n}", images.add(f"/{n}.jpg", encoded(picture.rotate(n), "JPEG", quality=80))) for n in range(200)
    ]

    with EmbeddingClient(own.redis_url) as client:
        assert client.enqueue_many(jobs) == 200
    wait_for(lambda: own_collection.count_documents(DONE) == 200, "every image to be done")
    # A worker logs that a job is done after it has saved the vector.
    wait_for(lambda: sum(len(DONE_LINE.findall(worker.log)) for worker in workers) >= 200, "every line of the logs")

    assert set(images.hits.values()) == {1}, "each image is downloaded once"
    shares = [[(image_id, int(batch)) for image_id, batch in DONE_LINE.findall(worker.log)] for worker in workers]
    done = [image_id for share in shares for image_id, _ in share]
    assert sorted(done) == sorted(image_id for image_id, _ in jobs), "each image is embedded once"
    for share in shares:
        assert len(share) >= 20, "both workers embed images"
        assert max(batch for _, batch in share) > 1, "images are embedded in batches"


def test_a_worker_holds_a_limited_number_of_retries(
    start_worker: StartWorker, own: Stack, own_broker: redis.Redis, images: ImageServer, new_id: str
) -> None:
    """Twice the number of threads: an outage of one image host must not move the whole queue into a worker."""
    start_worker(CLIPQUEUE_CONCURRENCY="4", CLIPQUEUE_RETRY_BASE_S="20", CLIPQUEUE_RETRY_CAP_S="20")
    busy = images.add("/busy.jpg", Answer(b"", 503))
    with EmbeddingClient(own.redis_url) as client:
        client.enqueue_many((f"{new_id}-{n}", busy) for n in range(100))
    wait_for(lambda: images.hits["/busy.jpg"] >= 100, "every job to be tried once")
    # A retry is published before its old message is acked, so for a moment both are counted.
    held_and_waiting = (8, 92)
    wait_for(
        lambda: (own_broker.hlen("unacked"), own_broker.llen("images")) == held_and_waiting,
        "8 retries to wait in the worker, and the others in Redis",
    )


def test_a_wave_of_retries_costs_no_threads(
    start_worker: StartWorker, own: Stack, own_collection: Collection[Document], images: ImageServer, new_id: str
) -> None:
    """There are many more retries than may wait in memory. After them, as many images are in flight as before."""
    start_worker(
        CLIPQUEUE_CONCURRENCY="4",
        CLIPQUEUE_RETRY_BASE_S="1",
        CLIPQUEUE_RETRY_CAP_S="1",
        CLIPQUEUE_FETCH_TOTAL_S="20",
        CLIPQUEUE_FETCH_READ_S="20",
    )
    busy, picture = images.add("/busy.jpg", Answer(b"", 503)), small_jpeg()
    four_requests = threading.Barrier(4)

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        four_requests.wait(20)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(picture) + picture)

    with SocketServer(serve) as server, EmbeddingClient(own.redis_url) as client:
        client.enqueue_many((f"{new_id}-busy-{n}", busy) for n in range(60))
        wait_for(lambda: own_collection.count_documents(FAILED) == 60, "every job to fail after its last retry")
        client.enqueue_many((f"{new_id}-{n}", server.url) for n in range(8))
        wait_for(lambda: own_collection.count_documents(DONE) == 8, "four images at once, twice")


def test_a_model_that_is_slow_for_its_deadline_gets_fewer_threads(start_worker: StartWorker) -> None:
    """Celery's banner shows a smaller pool, so that no image waits for the model beyond its deadline."""
    worker = start_worker(CLIPQUEUE_ENCODE_S="0.001")
    assert "images in flight instead of 64" in worker.log
    threads = re.search(r"concurrency: (\d+) \(thread\)", worker.log)
    assert threads is not None
    assert int(threads[1]) < 64


def test_the_command_line_may_ask_for_fewer_threads(start_worker: StartWorker) -> None:
    assert "concurrency: 3 (thread)" in start_worker("-c", "3").log
