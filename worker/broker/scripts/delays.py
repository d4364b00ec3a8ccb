"""Delaying unacked messages until a time, and moving those that are due to the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from producer.contract.names import DELAYED, IMAGE_QUEUE, UNACKED, UNACKED_INDEX
from worker.broker.scripts.lua import BEGIN, CLOCK, MOVE_DUE, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis

_DELAY = f"""
local unacked, index, delayed = unpack(KEYS)
{CLOCK}{BEGIN}
for number = 1, #ARGV, 3 do
  local tag, message, wait_s = ARGV[number], ARGV[number + 1], tonumber(ARGV[number + 2])
  if redis.call('HEXISTS', unacked, tag) == 1 then redis.call('ZADD', delayed, now + wait_s, message) end
  redis.call('HDEL', unacked, tag)
  redis.call('ZREM', index, tag)
end
"""

# Only to an empty queue: if messages wait, workers take them, and each time a share of those that are due.
REQUEUE_DUE = f"""{MOVE_DUE}
if redis.call('ZCOUNT', delayed, '-inf', now) > 0 and redis.call('LLEN', queue) == 0 then move_due(MAX_MOVED) end
"""

_REQUEUE_DUE = f"""
local queue, index, delayed = unpack(KEYS)
{CLOCK}{BEGIN}{REQUEUE_DUE}
"""


class Delay(NamedTuple):
    """How long a job waits, and the message that replaces the unacked one.

    Attributes:
        message: The message as JSON, as it will lie on the queue. No other delayed message is equal to it: its delivery
            tag is new.
        wait_s: Seconds until it is due.
    """

    message: bytes
    wait_s: float


def delay(redis: redis.Redis, delays: Mapping[str, Delay]) -> None:
    """Replace unacked messages, by their tags, with delayed ones. A message that is not unacked any more stays gone."""
    arguments = [part for tag, (message, wait_s) in delays.items() for part in (tag, message, wait_s)]
    run(redis, _DELAY, [UNACKED, UNACKED_INDEX, DELAYED], arguments)


def requeue_due(redis: redis.Redis) -> None:
    """Move due messages to the queue if it is empty: workers may be waiting for a message."""
    run(redis, _REQUEUE_DUE, [IMAGE_QUEUE, UNACKED_INDEX, DELAYED], [])
