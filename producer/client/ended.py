"""Counts the events of ended jobs, which wait on Redis until `clipqueue notify` has sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..contract.names import ENDED, ENDED_DROPPED, ENDED_REFUSED

if TYPE_CHECKING:
    import redis


class EventCounts(NamedTuple):
    """How many events wait, were dropped because there were too many, and were refused by the receiver."""

    waiting: int
    dropped: int
    refused: int


def count_events(redis: redis.Redis) -> EventCounts:
    """Return how many events there are. Raises what redis-py raises."""
    dropped, refused = (int(count or 0) for count in redis.mget(ENDED_DROPPED, ENDED_REFUSED))
    return EventCounts(int(redis.xlen(ENDED)), dropped, refused)
