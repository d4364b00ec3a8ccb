"""MongoDB refuses even the record of a failure: the message is parked, and can be requeued when MongoDB is mended."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from producer.client.client import EmbeddingClient
from tests.support.commands import invoke
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer

FAILED = {"embedding_job.status": "failed"}


def test_a_job_whose_failure_cannot_be_recorded_is_parked(
    start_worker: StartWorker,
    own: Stack,
    own_broker: redis.Redis,
    own_collection: Collection[dict[str, Any]],
    images: ImageServer,
    new_id: str,
) -> None:
    """A unique index allows one failed document only."""
    own_collection.create_index("embedding_job.status", unique=True)
    start_worker()
    missing = f"{images.url}/missing.jpg"
    with EmbeddingClient(own.redis_url) as client:
        client.enqueue_many((f"{new_id}-{number}", missing) for number in range(2))
    wait_for(lambda: own_broker.llen("clipqueue:parked"), "a message to be parked")
    wait_for(lambda: not own_broker.hlen("unacked"), "both messages to be acked or parked")
    assert own_collection.count_documents(FAILED) == 1
    items: Any = own_broker.lrange("clipqueue:parked", 0, -1)
    (entry,) = map(json.loads, items)
    assert entry["reason"].startswith("http_404, and MongoDB refused to record this: ")
    assert json.loads(base64.b64decode(entry["item"]))["headers"]["task"] == "clipqueue.embed_image"
    own_collection.delete_many({})
    assert invoke("parked", "requeue", "--all", REDIS_URL=own.redis_url).returncode == 0
    wait_for(lambda: own_collection.count_documents(FAILED), "the requeued job to be recorded")
    own_collection.drop_indexes()
