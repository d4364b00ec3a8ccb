"""Reads the figures of the queue from Redis, with two short pipelines."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.client.queue import JobCounts, count_jobs
from producer.client.workers import LiveWorkers, read_workers
from producer.contract.names import IMAGE_QUEUE, PARKED_LIST
from producer.operations.delayed import Delays, read_delays

if TYPE_CHECKING:
    from producer.client.broker import Broker


@dataclass(frozen=True)
class Reading:
    """The figures at one moment.

    Attributes:
        now_s: When, in seconds since the epoch by the clock of Redis.
        counts: The jobs without a result.
        parked: How many messages are parked.
        oldest_s: How long the oldest waiting job has waited; None if there is none, or it does not say.
        delays: When the delayed jobs are due.
        workers: The live workers.
    """

    now_s: float
    counts: JobCounts
    parked: int
    oldest_s: float | None
    delays: Delays
    workers: LiveWorkers


def read(broker: Broker) -> Reading:
    """Return the figures. Raises BrokerUnavailable."""
    with broker.commands("did not answer") as redis:
        seconds, micros = redis.time()
        now_s = seconds + micros / 1e6
        oldest = _enqueued_at_ms(redis.lindex(IMAGE_QUEUE, -1))
        return Reading(
            now_s,
            count_jobs(redis),
            int(redis.llen(PARKED_LIST)),
            None if oldest is None else max(now_s - oldest / 1e3, 0),
            read_delays(redis, now_s),
            read_workers(redis),
        )


def _enqueued_at_ms(item: Any) -> float | None:
    try:
        at = json.loads(base64.b64decode(json.loads(item)["body"]))[1]["enqueued_at"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None
    return at if type(at) is int else None
