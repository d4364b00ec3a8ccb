"""How many images a worker has in flight, and how workers share a queue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from producer.client.client import EmbeddingClient
from tests.support.fake_encoder import FORWARD_PASS_S
from tests.support.pictures import encoded, photo
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer

Document = dict[str, Any]

DONE = {"embedding_job.status": "done"}
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


def test_a_model_that_is_slow_for_its_deadline_gets_fewer_threads(start_worker: StartWorker) -> None:
    """Celery's banner shows a smaller pool, so that no image waits for the model beyond its deadline."""
    worker = start_worker(CLIPQUEUE_ENCODE_S="0.001")
    assert "images in flight instead of 64" in worker.log
    threads = re.search(r"concurrency: (\d+) \(thread\)", worker.log)
    assert threads is not None
    assert int(threads[1]) < 64


def test_the_command_line_may_ask_for_fewer_threads(start_worker: StartWorker) -> None:
    assert "concurrency: 3 (thread)" in start_worker("-c", "3").log
