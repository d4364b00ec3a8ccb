"""What this process has taken and not acked, as Redis notes it: kept for longer, given back, or struck off at last."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from producer.contract.names import IMAGE_QUEUE, UNACKED, UNACKED_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterable

    import redis


class Deliveries:
    """The delivery tags of a process, whatever became of the connection that they came by. Safe to share.

    Attributes:
        has_news: Something has ended since telling Redis was last tried.
    """

    def __init__(self) -> None:
        self.has_news = False
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._ended: set[str] = set()
        self._returned: set[str] = set()

    @property
    def tags(self) -> list[str]:
        """What is held and has not ended."""
        with self._lock:
            return list(self._held)

    def __contains__(self, tag: str) -> bool:
        with self._lock:
            return tag in self._held

    def take(self, tag: str) -> None:
        """Note a message as held."""
        with self._lock:
            self._held.add(tag)

    def drop(self, tag: str) -> None:
        """Forget a message: Redis knows what became of it."""
        with self._lock:
            self._held.discard(tag)

    def end_later(self, tag: str, *, give_back: bool) -> None:
        """Note what Redis is to be told: that a job has ended, or that it is to go back."""
        with self._lock:
            self.has_news = True
            self._held.discard(tag)
            (self._returned if give_back else self._ended).add(tag)

    def settle(self, redis: redis.Redis) -> None:
        """Tell Redis what it does not know yet. Raises what redis-py raises; then nothing of it is forgotten."""
        with self._lock:
            self.has_news = False
            ended, returned = list(self._ended), list(self._returned)
        if ended:
            with redis.pipeline() as pipe:
                pipe.zrem(UNACKED_INDEX, *ended)
                pipe.hdel(UNACKED, *ended)
                pipe.execute()
            with self._lock:
                self._ended.difference_update(ended)
        give_back(redis, returned)
        with self._lock:
            self._returned.difference_update(returned)

    def keep(self, redis: redis.Redis) -> None:
        """Let the visibility timeout of what is held begin anew; what was given to another stays there."""
        if not (tags := self.tags):
            return
        redis.zadd(UNACKED_INDEX, dict.fromkeys(tags, time.time()), xx=True)
        scores: Any = redis.zmscore(UNACKED_INDEX, tags)
        for tag, score in zip(tags, scores, strict=True):
            if score is None:
                self.drop(tag)


def give_back(redis: redis.Redis, tags: Iterable[str]) -> int:
    """Put these messages where they are taken next; return how many were still held."""
    return sum(_give_back(redis, tag) for tag in tags)


def _give_back(redis: redis.Redis, tag: str) -> bool:
    was_held = False

    def move(pipe: Any) -> None:
        nonlocal was_held
        noted = pipe.hget(UNACKED, tag)
        was_held = noted is not None
        pipe.multi()
        pipe.zrem(UNACKED_INDEX, tag)
        pipe.hdel(UNACKED, tag)
        if noted:
            pipe.rpush(IMAGE_QUEUE, json.dumps(json.loads(noted)[0]))

    redis.transaction(move, UNACKED)
    return was_held
