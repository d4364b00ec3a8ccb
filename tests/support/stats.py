"""A queue with jobs of every state, and heartbeats with what workers have done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.contract.job import now_ms
from producer.contract.names import UNACKED
from tests.support.delayed import delay_image
from tests.support.doctor import write_heartbeat
from tests.support.messages import hand_made_message
from tests.support.parked import park

if TYPE_CHECKING:
    import redis

    from producer.contract.fields import WorkerStats


def fill(broker: redis.Redis) -> None:
    """Put two jobs on the queue (the oldest for five minutes), three in flight, two delayed (one overdue), one parked.

    Two workers of one model and one of another consume images; one of the first and another worker answer queries.
    """
    for minutes in (1, 5):
        job = {"image_id": "a", "url": "http://host/", "enqueued_at": now_ms() - 60_000 * minutes}
        broker.lpush("images", hand_made_message(job))
    broker.hset(UNACKED, mapping=dict.fromkeys("abc", "[]"))
    delay_image(broker, "b", wait_s=-120)
    delay_image(broker, "c", wait_s=60)
    park(broker, b"no job")
    write_heartbeat(broker, "celery@a", model="one", images=True, queries=True, stats=worker_stats(done=5))
    write_heartbeat(broker, "celery@b", model="one", store_away=True)
    write_heartbeat(broker, "celery@c", model="two/x", images=True, queries=False)
    write_heartbeat(broker, "celery@d", model="one", images=False, queries=True)


def worker_stats(**replaced: Any) -> WorkerStats:
    """Return what a worker has done: nothing, but for the fields that are replaced."""
    stats: WorkerStats = {
        "done": 0,
        "skipped": 0,
        "failed": 0,
        "retried": 0,
        "requeued": 0,
        "in_flight": 0,
        "batches": 0,
        "images": 0,
        "model_busy_s": 0.0,
        "stages": {},
        "latency": [0, 0.0],
        "queries": 0,
        "fetched_bytes": 0,
        "cpu_s": 0.0,
        "rss_bytes": 0,
        "errors": {},
    }
    return {**stats, **replaced}  # type: ignore[typeddict-item]
