"""What this process has taken and not acked, as it stands on Redis: kept for longer, or given back."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from producer.contract import IMAGE_QUEUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

# Where kombu notes what was taken: a hash of messages by delivery tag, and a sorted set of when.
_UNACKED, _UNACKED_INDEX = "unacked", "unacked_index"


def keep(redis: redis.Redis, tags: Sequence[str]) -> None:
    """Let the visibility timeout of these messages begin anew; what was given to another stays there."""
    if tags:
        redis.zadd(_UNACKED_INDEX, dict.fromkeys(tags, time.time()), xx=True)


def give_back(redis: redis.Redis, tags: Sequence[str]) -> int:
    """Put these messages where they are taken next; return how many were still held."""
    return sum(_give_back(redis, tag) for tag in tags)


def _give_back(redis: redis.Redis, tag: str) -> bool:
    was_held = False

    def move(pipe: Any) -> None:
        nonlocal was_held
        noted = pipe.hget(_UNACKED, tag)
        was_held = noted is not None
        pipe.multi()
        pipe.zrem(_UNACKED_INDEX, tag)
        pipe.hdel(_UNACKED, tag)
        if noted:
            pipe.rpush(IMAGE_QUEUE, json.dumps(json.loads(noted)[0]))

    redis.transaction(move, _UNACKED)
    return was_held
