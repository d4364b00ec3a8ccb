"""The latency of one image on an idle worker, against the same steps by hand in one process."""

from __future__ import annotations

import statistics
import time
import uuid
from typing import TYPE_CHECKING

from tests.bench.lines import Lines
from tests.bench.rows import Target, in_turn, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.client import PubSub

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_SIZE = (640, 480)
_IMAGES = 100
_ROUNDS = 3
# A worker acks a job after it has written the document, and Redis publishes that. Polling for the document would take
# CPU time from the model.
_ACKS = "__keyevent@0__:hdel"
_MAX_WAIT_S = 30.0


def rows(bench: Bench) -> Iterator[Row]:
    """Measure from before the enqueue to the ack, one image at a time; each round gives percentiles."""
    url = bench.photos_at(_SIZE)
    with (
        bench.worker(bench.model),
        Lines("tests.bench.by_hand", {**bench.stack.environment(), **bench.model}) as by_hand,
        bench.broker.pubsub() as acks,
    ):
        bench.broker.config_set("notify-keyspace-events", "Eh")
        acks.subscribe(_ACKS)
        acks.get_message(timeout=_MAX_WAIT_S)  # the confirmation of the subscription

        def ours() -> list[float]:
            bench.empty_collection()
            return [_one(bench, f"{url}/{number}/photo.jpg", acks) for number in range(_IMAGES)]

        def theirs() -> list[float]:
            return [by_hand.ask(f"{url}/{number}/photo.jpg")["wall_s"] for number in range(_IMAGES)]

        ours()
        theirs()
        pairs = in_turn(_ROUNDS, ours, theirs)
    for name, nth in (("p50", 50), ("p95", 95)):
        both = [(_percentile(mine, nth), _percentile(hand, nth)) for mine, hand in pairs]
        yield row(
            f"one image on an idle worker, {name} / fetch, decode and forward by hand", "ms", both, Target(most=1.5)
        )


def _one(bench: Bench, url: str, acks: PubSub) -> float:
    image_id = f"latency-{uuid.uuid4()}"
    start = time.perf_counter()
    bench.client.enqueue(image_id, url)
    ack = acks.get_message(timeout=_MAX_WAIT_S)
    wall_s = time.perf_counter() - start
    assert ack, "no ack"
    assert bench.collection.count_documents({"_id": image_id, "embedding_job.status": "done"}) == 1, "no document"
    return wall_s


def _percentile(seconds: list[float], nth: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[nth - 1] * 1e3
