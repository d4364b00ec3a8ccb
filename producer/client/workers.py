"""Reads the heartbeats that worker processes write to Redis. An unreadable heartbeat is counted and raises no error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, cast, get_args, get_origin, get_type_hints, is_typeddict

from ..contract.fields import WorkerHeartbeat
from ..contract.job import MAX_TIME_MS
from ..contract.names import WORKERS

if TYPE_CHECKING:
    from redis import Redis

# A heartbeat without the fields that are `NotRequired` comes from a worker of an earlier version, which is as alive.
_HINTS = get_type_hints(WorkerHeartbeat, include_extras=True)
_OPTIONAL: dict[str, type] = {
    name: dict if is_typeddict(get_args(hint)[0]) else get_args(hint)[0]
    for name, hint in _HINTS.items()
    if get_origin(hint) is NotRequired
}
_REQUIRED: dict[str, type] = {name: hint for name, hint in _HINTS.items() if name not in _OPTIONAL}


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

    @property
    def consumers(self) -> list[WorkerHeartbeat]:
        """The heartbeats of those that consume the queue. The others only answer queries, and may know no MongoDB."""
        return [heartbeat for heartbeat in self.heartbeats if heartbeat.get("images", True)]


def read_workers(redis: Redis) -> LiveWorkers:
    """Return the workers that use this Redis. Raises what redis-py raises."""
    noted: Any = sorted(redis.zrange(WORKERS, 0, -1, withscores=True))
    raws: Any = redis.mget([key for key, _ in noted]) if noted else []
    # The key of a dead worker has expired. Its name stays among the workers until another one's next heartbeat.
    found = [(_read_heartbeat(raw), at) for raw, (_, at) in zip(raws, noted, strict=True) if raw is not None]
    alive = (LiveWorker(heartbeat, heartbeat["at"] / 1e3 - at) for heartbeat, at in found if heartbeat)
    return LiveWorkers(tuple(alive), unreadable=sum(heartbeat is None for heartbeat, _ in found))


def _read_heartbeat(raw: Any) -> WorkerHeartbeat | None:
    try:
        heartbeat: Any = json.loads(raw)
        fields = {name: heartbeat[name] for name in _REQUIRED}
        if any(type(fields[name]) is not kind for name, kind in _REQUIRED.items()):
            return None
        fields |= {name: heartbeat[name] for name, kind in _OPTIONAL.items() if type(heartbeat.get(name)) is kind}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not all(0 <= fields[name] <= MAX_TIME_MS for name in ("started_at", "at")):
        return None
    return cast("WorkerHeartbeat", fields)
