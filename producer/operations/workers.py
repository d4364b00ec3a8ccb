"""Reads what the worker processes say of themselves on Redis; a note that is none is counted, never an error."""

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
    """A worker that lately gave a sign of life.

    Attributes:
        note: What it says of itself.
        ahead_s: Seconds that its clock is ahead of that of Redis.
    """

    note: WorkerHeartbeat
    ahead_s: float


@dataclass(frozen=True)
class LiveWorkers:
    """The workers that are alive, by node, and how many notes could not be read."""

    workers: tuple[LiveWorker, ...]
    unreadable: int


def read_workers(redis: Redis) -> LiveWorkers:
    """Return the workers of this Redis. Raises what redis-py raises."""
    keys = sorted(redis.scan_iter(match=WORKER_KEY + "*", count=1000))
    pipeline = redis.pipeline(transaction=False)
    pipeline.time()
    for key in keys:
        pipeline.get(key)
        pipeline.pttl(key)
    (seconds, micros), *answers = pipeline.execute(raise_on_error=False)  # a key of another type is no note
    now_ms = 1e3 * seconds + micros / 1e3
    found = [
        (_read_note(raw) if left_ms > 0 else None, left_ms)  # one that never expires says nothing of life
        for raw, left_ms in zip(answers[::2], answers[1::2], strict=True)
        if raw is not None  # it expired in between
    ]
    alive = (LiveWorker(note, _ahead_s(note, now_ms, left_ms)) for note, left_ms in found if note)
    return LiveWorkers(tuple(alive), unreadable=sum(note is None for note, _ in found))


def check_same_collection(broker: Broker, documents: ImageDocuments) -> None:
    """Check that the living workers write where a command reads: a message does not say where its document is.

    Raises:
        ConfigurationError: They all write elsewhere.
        BrokerUnavailable: Redis did not answer.
    """
    with broker.commands("did not tell where the workers write") as redis:
        notes = [worker.note for worker in read_workers(redis).workers]
    places = sorted({(note["database"], note["collection"]) for note in notes})
    here = (documents.database, documents.name)
    if places and here not in places:
        there = " and ".join(".".join(place) for place in places)
        raise ConfigurationError(f"the workers write into {there}, and this is {'.'.join(here)}: give both the same")


def _ahead_s(note: WorkerHeartbeat, now_ms: float, left_ms: int) -> float:
    # The key's time to live says when the note was written, by the clock of Redis itself.
    return (note["at"] - (now_ms - (1000 * HEARTBEAT_TTL_S - left_ms))) / 1e3


def _read_note(raw: Any) -> WorkerHeartbeat | None:
    try:
        note: Any = json.loads(raw)
        fields = {name: note[name] for name in _FIELDS}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if any(type(fields[name]) is not kind for name, kind in _FIELDS.items()):
        return None
    if not all(0 <= fields[name] <= MAX_TIME_MS for name in ("started_at", "at")):
        return None
    return cast("WorkerHeartbeat", fields)
