"""What becomes of an unacked message: it is acked, requeued or parked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from producer.contract.names import (
    ENDED,
    ENDED_DROPPED,
    IMAGE_QUEUE,
    MAX_ENDED,
    PARKED_BYTES,
    PARKED_DROPPED,
    PARKED_LIST,
    PARKED_MAX_BYTES,
    UNACKED,
    UNACKED_INDEX,
)
from worker.broker.scripts.lua import BEGIN, RECORD, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis

_ACK = """
local unacked, index = unpack(KEYS)
for _, tag in ipairs(ARGV) do
  redis.call('HDEL', unacked, tag)
  redis.call('ZREM', index, tag)
end
"""

# After each tag comes an event for webhooks, empty if it has none. It is added if the message was removed here: the
# message of a lost worker is removed by the worker that runs it again. A refused event must not delay the ack.
_ACK_ENDED = """
local unacked, index, ended, dropped = unpack(KEYS)
local max_count = tonumber(ARGV[1])
for number = 2, #ARGV, 2 do
  local tag, event = ARGV[number], ARGV[number + 1]
  local removed = redis.call('HDEL', unacked, tag)
  redis.call('ZREM', index, tag)
  if removed == 1 and event ~= '' then
    local added = redis.pcall('XADD', ended, '*', 'event', event)
    local lost = type(added) == 'table' and added.err and 1 or redis.call('XTRIM', ended, 'MAXLEN', max_count)
    if lost > 0 then redis.call('INCRBY', dropped, lost) end
  end
end
"""

_REQUEUE = f"""
local queue, unacked, index = unpack(KEYS)
{RECORD}{BEGIN}
local push, count = ARGV[1], 0
for number = 2, #ARGV do
  local record = redis.call('HGET', unacked, ARGV[number])
  if record then
    redis.call(push, queue, message_of(record))
    count = count + 1
  end
  redis.call('HDEL', unacked, ARGV[number])
  redis.call('ZREM', index, ARGV[number])
end
return count
"""

_PARK = f"""
local unacked, index, parked, bytes, dropped = unpack(KEYS)
local tag, entry, max_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HEXISTS', unacked, tag) == 0 then return end
{BEGIN}
redis.call('LPUSH', parked, entry)
redis.call('HDEL', unacked, tag)
redis.call('ZREM', index, tag)
local total = redis.call('INCRBY', bytes, #entry)
while total > max_bytes do
  local oldest = redis.call('LLEN', parked) > 1 and redis.call('RPOP', parked)
  if not oldest then
    total = #entry  -- somebody deleted the list and left the sum
    redis.call('SET', bytes, total)
    break
  end
  total = redis.call('DECRBY', bytes, #oldest)
  redis.call('INCR', dropped)
end
if total < #entry then redis.call('SET', bytes, #entry) end  -- earlier versions did not count
"""


def ack(redis: redis.Redis, tags: Sequence[str]) -> None:
    """Remove unacked messages."""
    run(redis, _ACK, [UNACKED, UNACKED_INDEX], tags)


def ack_ended(redis: redis.Redis, events: Mapping[str, bytes]) -> None:
    """Remove unacked messages, and add the events of those that were still unacked to the stream for webhooks.

    Args:
        redis: The client.
        events: The event of each delivery tag, in the order of the stream; empty if the tag has none.
    """
    pairs = [part for pair in events.items() for part in pair]
    run(redis, _ACK_ENDED, [UNACKED, UNACKED_INDEX, ENDED, ENDED_DROPPED], [MAX_ENDED, *pairs])


def requeue(redis: redis.Redis, tags: Sequence[str], *, at_tail: bool = False) -> int:
    """Put unacked messages back on the queue, by default at its head. Return how many were still unacked."""
    push = "LPUSH" if at_tail else "RPUSH"
    return int(run(redis, _REQUEUE, [IMAGE_QUEUE, UNACKED, UNACKED_INDEX], [push, *tags]))


def park(redis: redis.Redis, tag: str, entry: Mapping[str, object]) -> None:
    """Move an unacked message to the parked messages as `entry`; drop the oldest of those if they exceed the bound."""
    keys = [UNACKED, UNACKED_INDEX, PARKED_LIST, PARKED_BYTES, PARKED_DROPPED]
    run(redis, _PARK, keys, [tag, json.dumps(entry), PARKED_MAX_BYTES])
