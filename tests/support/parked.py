"""Parks messages as a worker does, and checks the sum of their bytes."""

from __future__ import annotations

import base64
import json
import uuid
from typing import TYPE_CHECKING, Any

from producer.contract.names import PARKED_BYTES, PARKED_LIST

if TYPE_CHECKING:
    import redis

PARKED_AT_MS = 1_767_323_045_000  # 2026-01-02 03:04:05 UTC


def park(redis: redis.Redis, *items: bytes, size: int | None = None) -> list[str]:
    """Park items, the last one becomes the newest; return their ids. `size` is larger than the item if it was cut."""
    ids = [uuid.uuid4().hex for _ in items]
    entries = [legacy_entry(item, id=one, bytes=size or len(item)) for one, item in zip(ids, items, strict=True)]
    redis.lpush(PARKED_LIST, *entries)
    redis.incrby(PARKED_BYTES, sum(map(len, entries)))
    return ids


def legacy_entry(content: bytes, /, **fields: Any) -> str:
    """Return an entry as versions before ids wrote it; `fields` replace or add to its fields."""
    encoded = base64.b64encode(content).decode()
    entry = {"parked_at": PARKED_AT_MS, "reason": "the item is not JSON", "bytes": len(content), "item": encoded}
    return json.dumps({**entry, **fields})


def counted_bytes(redis: redis.Redis) -> tuple[int, int]:
    """Return the sum of the entries' lengths as it is counted, and as it is."""
    entries: Any = redis.lrange(PARKED_LIST, 0, -1)
    counted: Any = redis.get(PARKED_BYTES)
    return int(counted or 0), sum(map(len, entries))
