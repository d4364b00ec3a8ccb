"""Reads the heartbeats that worker processes write to Redis. An unreadable heartbeat is counted and raises no error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from producer.contract.errors import ConfigurationError
from producer.contract.fields import WorkerHeartbeat
from producer.contract.job import MAX_TIME_MS
from producer.contract.names import HEARTBEAT_TTL_S, WORKER_KEY

if TYPE_CHECKING:
    from redis import Redis

    from producer.client.broker import Broker
    from producer.documents.documents import ImageDocuments

_FIELDS: dict[str, type] = get_type_hints(WorkerHeartbeat)


@dataclass(frozen=True)
class LiveWorker:
    """A worker whose heartbeat has not expired.

    Attributes:
        heartbeat: The heartbeat as the worker wrote it.
        ahead_s: Seconds that the worker's clock is ahead of the clock of Redis.
    """

    heartbeat: WorkerHeartbeat
    ahead_s: float


@dataclass(frozen=True)
class LiveWorkers:
    """The live workers, sorted by node name, and the number of heartbeats that could not be read."""

    workers: tuple[LiveWorker, ...]
    unreadable: int

    @property
    def heartbeats(self) -> list[WorkerHeartbeat]:
        """The heartbeat of each worker."""
        return [worker.heartbeat for worker in self.workers]


def read_workers(redis: Redis) -> LiveWorkers:
    """Return the workers that use this Redis. Raises what redis-py raises."""
    keys = sorted(redis.scan_iter(match=WORKER_KEY + "*", count=1000))
    pipeline = redis.pipeline(transaction=False)
    pipeline.time()
    for key in keys:
        pipeline.get(key)
        pipeline.pttl(key)
    (seconds, micros), *answers = pipeline.execute(raise_on_error=False)  # a key of another type is unreadable
    now_ms = 1e3 * seconds + micros / 1e3
    found = [
        (_read_heartbeat(raw) if ttl_ms > 0 else None, ttl_ms)  # a key without an expiry does not prove a live worker
        for raw, ttl_ms in zip(answers[::2], answers[1::2], strict=True)
        if raw is not None  # it has expired since the scan
    ]
    alive = (LiveWorker(heartbeat, _ahead_s(heartbeat, now_ms, ttl_ms)) for heartbeat, ttl_ms in found if heartbeat)
    return LiveWorkers(tuple(alive), unreadable=sum(heartbeat is None for heartbeat, _ in found))


def check_same_collection(broker: Broker, documents: ImageDocuments) -> None:
    """Check that a live worker writes to this collection, since a message does not name one.

    Raises:
        ConfigurationError: There are live workers, and all of them write elsewhere.
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("did not return the workers' heartbeats") as redis:
        heartbeats = read_workers(redis).heartbeats
    places = sorted({(heartbeat["database"], heartbeat["collection"]) for heartbeat in heartbeats})
    here = (documents.database, documents.name)
    if places and here not in places:
        names = " and ".join(".".join(place) for place in places)
        raise ConfigurationError(
            f"the workers write to {names}, but this command reads {'.'.join(here)}: give both the same database and "
            "collection"
        )


def find_worker_model(broker: Broker, documents: ImageDocuments) -> str | None:
    """Return the model of the live workers that write to this collection; None if there are no such workers.

    Raises:
        ConfigurationError: They run several models.
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("did not return the workers' heartbeats") as redis:
        heartbeats = read_workers(redis).heartbeats
    here = (documents.database, documents.name)
    models = sorted(
        {heartbeat["model"] for heartbeat in heartbeats if (heartbeat["database"], heartbeat["collection"]) == here}
    )
    if len(models) > 1:
        raise ConfigurationError(f"the workers run several models, {models!r}: choose the current one with --model")
    return models[0] if models else None


def _ahead_s(heartbeat: WorkerHeartbeat, now_ms: float, ttl_ms: int) -> float:
    # The key's remaining time to live tells when it was written, by the clock of Redis.
    written_ms = now_ms - (1000 * HEARTBEAT_TTL_S - ttl_ms)
    return (heartbeat["at"] - written_ms) / 1e3


def _read_heartbeat(raw: Any) -> WorkerHeartbeat | None:
    try:
        heartbeat: Any = json.loads(raw)
        fields = {name: heartbeat[name] for name in _FIELDS}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if any(type(fields[name]) is not kind for name, kind in _FIELDS.items()):
        return None
    if not all(0 <= fields[name] <= MAX_TIME_MS for name in ("started_at", "at")):
        return None
    return cast("WorkerHeartbeat", fields)
