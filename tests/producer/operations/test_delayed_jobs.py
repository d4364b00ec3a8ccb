"""A job that a worker has delayed, as the commands see it: counted, not lost, and gone after a purge."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from producer import EmbeddingClient
from producer.client.broker import Broker
from producer.contract.names import DELAYED
from producer.documents.documents import connect
from producer.operations.requeue.sweep import Sweeper, SweepOptions, SweepResult
from tests.support.commands import invoke
from tests.support.doctor import run_doctor
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.servers import ImageServer


def test_a_delayed_job_is_counted_and_not_lost(
    own: Stack,
    own_broker: redis.Redis,
    own_collection: Collection[dict[str, Any]],
    start_worker: Callable[..., Any],
    images: ImageServer,
) -> None:
    """Two images of a host that asks for an hour. One is purged; the other is done when its time has come."""
    start_worker()
    busy = Answer(b"", 429, {"Retry-After": "3600"})
    with EmbeddingClient(own.redis_url, mongodb_uri=own.mongodb_uri) as client:
        client.enqueue("a", images.add("/a.jpg", busy, small_jpeg()), record=True)
        wait_for(lambda: own_broker.zcard(DELAYED), "the job to be delayed")
    assert _sweep(own) == SweepResult(delayed=1)
    assert invoke("status", REDIS_URL=own.redis_url).stdout.endswith(
        "delayed\t1\tthe first is due in 60 min; hosts: 127.0.0.1 (1)\n"
    )
    assert "1 message waits for the next attempt" in run_doctor(own).text["delayed"]

    (message,) = cast("list[bytes]", own_broker.zrange(DELAYED, 0, -1))
    own_broker.zadd(DELAYED, {message: 1})
    wait_for(lambda: own_collection.find_one({"_id": "a", "embedding_job.status": "done"}), "the second attempt")
    assert (own_broker.exists(DELAYED), images.hits["/a.jpg"]) == (0, 2)

    with EmbeddingClient(own.redis_url) as client:
        client.enqueue("b", images.add("/b.jpg", busy))
        wait_for(lambda: own_broker.zcard(DELAYED), "the job to be delayed")
    assert invoke("purge", "--yes", REDIS_URL=own.redis_url).stdout == "deleted 0 waiting and 1 delayed message\n"


def _sweep(own: Stack) -> SweepResult | None:
    with closing(Broker(own.redis_url)) as broker, closing(connect(own.mongodb_uri, "images")) as documents:
        return Sweeper(broker, documents, SweepOptions(age_s=0, max_queued=1000)).sweep()
