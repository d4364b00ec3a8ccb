"""What a thousand images take: processors and memory of the workers, commands and bytes of Redis and MongoDB.

The workers count their own work. Redis and MongoDB count that of all their clients, since they started.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from producer.contract.redis_errors import is_failover
from producer.operations.stats.rates import History, Rates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from producer.client.broker import Broker
    from producer.contract.fields import WorkerHeartbeat
    from producer.operations.stats.reading import QueueReader

IMAGES = 1000
_HOUR_S = 3600.0
_GB = 1e9
_MAX_BYTES = 1 << 60


@dataclass(frozen=True)
class Counters:
    """What a server has counted since it started, at one moment. None is what it does not tell."""

    at_s: float
    commands: int | None = None
    bytes: int | None = None

    def per_s(self, name: str, earlier: Counters) -> float | None:
        """Return how quickly a count has grown; None if one is unknown, or the server has started again meanwhile."""
        before, after = getattr(earlier, name), getattr(self, name)
        if before is None or after is None or after < before or self.at_s <= earlier.at_s:
            return None
        return float(after - before) / (self.at_s - earlier.at_s)


@dataclass(frozen=True)
class Cost:
    """What 1,000 images take. None is unknown.

    Attributes:
        images_per_s: Images a second that got a vector.
        span_s: The seconds in which the workers were measured.
        is_recent: All was measured in the same time. Otherwise the workers' part is an average since they started,
            the load of the model included, and the servers' part is unknown.
        cpu_hours: Hours of one processor, of the workers and their decoding processes.
        memory_gb_hours: GB of memory for an hour, of the workers.
        fetched_bytes: Bytes of images.
        redis_commands: Commands to Redis, those inside scripts included.
        redis_bytes: Bytes to and from Redis.
        mongo_bytes: Bytes to and from MongoDB.
        stored_bytes: Bytes that MongoDB stores, before it compresses them.
    """

    images_per_s: float
    span_s: float
    is_recent: bool
    cpu_hours: float | None = None
    memory_gb_hours: float | None = None
    fetched_bytes: float | None = None
    redis_commands: float | None = None
    redis_bytes: float | None = None
    mongo_bytes: float | None = None
    stored_bytes: float | None = None

    @classmethod
    def of(cls, rates: Rates, rss_bytes: float, servers: Servers, stored_bytes: float | None) -> Cost:
        """Return the cost at these rates.

        Args:
            rates: What the workers did.
            rss_bytes: Bytes of memory that they use.
            servers: What the servers did each second.
            stored_bytes: Bytes of the vector and the job of one document, if known.
        """
        stored = None if stored_bytes is None else stored_bytes * IMAGES
        if not rates.done:
            return cls(0.0, rates.span_s, rates.is_recent, stored_bytes=stored)
        seconds = IMAGES / rates.done
        recent = servers if rates.is_recent else Servers()
        return cls(
            images_per_s=rates.done,
            span_s=rates.span_s,
            is_recent=rates.is_recent,
            cpu_hours=rates.cpus * seconds / _HOUR_S,
            memory_gb_hours=rss_bytes / _GB * seconds / _HOUR_S,
            fetched_bytes=rates.fetched_bytes * seconds,
            **{name: None if rate is None else rate * seconds for name, rate in vars(recent).items()},
            stored_bytes=stored,
        )

    def amounts(self) -> dict[str, float | None]:
        """Return the amount of each thing that a provider has a price for, by the name of the price."""
        both = [count for count in (self.redis_bytes, self.mongo_bytes) if count is not None]
        return {
            "cpu-hour": self.cpu_hours,
            "memory-gb-hour": self.memory_gb_hours,
            "redis-100k-commands": None if self.redis_commands is None else self.redis_commands / 1e5,
            "network-gb": sum(both) / _GB if both else None,
            "storage-gb-month": None if self.stored_bytes is None else self.stored_bytes / _GB,
        }


@dataclass(frozen=True)
class Servers:
    """What Redis and MongoDB do each second. None is unknown."""

    redis_commands: float | None = None
    redis_bytes: float | None = None
    mongo_bytes: float | None = None


@dataclass(frozen=True)
class Meters:
    """What is read before and after the time in which the cost is measured.

    Attributes:
        reader: Reads the workers' heartbeats.
        redis: Reads the counters of Redis.
        mongo: Reads those of MongoDB.
        stored_bytes: Returns the bytes of the vector and the job of one document, if known.
    """

    reader: QueueReader
    redis: Callable[[], Counters]
    mongo: Callable[[], Counters]
    stored_bytes: Callable[[], float | None]


def measure(meters: Meters, wait: Callable[[], None]) -> Cost:
    """Read all meters, wait, read them again, and return the cost. Raises BrokerUnavailable and StoreUnavailable."""
    history = History()
    history.add(meters.reader.read())
    redis, mongo = meters.redis(), meters.mongo()
    wait()
    reading = meters.reader.read()
    redis_after, mongo_after = meters.redis(), meters.mongo()
    servers = Servers(
        redis_after.per_s("commands", redis), redis_after.per_s("bytes", redis), mongo_after.per_s("bytes", mongo)
    )
    return Cost.of(history.add(reading), memory_of(reading.heartbeats), servers, meters.stored_bytes())


def memory_of(heartbeats: Iterable[WorkerHeartbeat]) -> float:
    """Return the bytes of memory that workers use. A value that makes no sense counts as 0."""
    told: list[Any] = [heartbeat.get("stats") for heartbeat in heartbeats]
    sizes = [stats.get("rss_bytes") for stats in told if isinstance(stats, dict)]
    return float(sum(size for size in sizes if type(size) is int and 0 < size <= _MAX_BYTES))


def redis_counters(broker: Broker) -> Counters:
    """Return the counters of Redis; empty ones if it refuses INFO, as a hosted one may.

    Raises:
        BrokerUnavailable: Redis did not answer.
    """
    with broker.commands("did not tell its counters") as redis:
        try:
            stats: Any = redis.info("stats")
        except ResponseError as exc:
            if is_failover(exc):
                raise
            stats = {}
    commands = _count(stats, "total_commands_processed")
    return Counters(time.monotonic(), commands, _sum(stats, "total_net_input_bytes", "total_net_output_bytes"))


def _sum(stats: dict[str, Any], *names: str) -> int | None:
    counts = [_count(stats, name) for name in names]
    return None if None in counts else sum(count or 0 for count in counts)


def _count(stats: dict[str, Any], name: str) -> int | None:
    count = stats.get(name)
    return count if type(count) is int else None
