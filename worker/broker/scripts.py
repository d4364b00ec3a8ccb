"""The steps of a message on Redis: take, ack, requeue, redeliver, park. Each is a Lua script: atomic, by Redis's clock.

Redis does not undo a script that fails half-way, for example because a permission is missing. So a message is written
to its new place before it is removed from the old one.

A full Redis refuses commands that may use more memory, unless the script has written before. So each script begins with
a write that needs no memory. This holds for every Redis since 6.2 and for Valkey. It needs no script flags, which older
versions do not know.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from producer.contract.names import (
    ENDED,
    ENDED_DROPPED,
    IMAGE_QUEUE,
    MAX_ENDED,
    PARKED_BYTES,
    PARKED_DROPPED,
    PARKED_LIST,
    PARKED_MAX_BYTES,
    QUERY_WORKERS,
    UNACKED,
    UNACKED_INDEX,
    WORKERS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis

# A list for each process: messages that Redis has handed to it and that it has not taken yet, the newest first.
PROCESSING_KEY = "clipqueue:taken:"
# A sorted set of process names, scored by their last heartbeat in seconds since the epoch.
PROCESSES_KEY = "clipqueue:takers"
# A message's header: how many workers died while they held it. Only `redeliver` increments it.
LOST_HEADER = "clipqueue_lost"

# kombu's producers put messages with a priority on these lists.
_PRIORITY_QUEUES = tuple(f"{IMAGE_QUEUE}\x06\x16{step}" for step in (3, 6, 9))
_MAX_REDELIVERED = 100
_FORGET_AFTER_S = 3600.0

_CLOCK = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
"""
# A record is [message, exchange, routing key] as JSON, the format of kombu's transport.
_FIRST, _LAST = "[", f',"","{IMAGE_QUEUE}"]'
_RECORD = f"""
local FIRST, LAST = '{_FIRST}', '{_LAST}'
local function message_of(record)
  if record:sub(1, #FIRST) == FIRST and record:sub(-#LAST) == LAST then
    return record:sub(#FIRST + 1, -#LAST - 1)
  end
  local is_json, decoded = pcall(cjson.decode, record)
  return is_json and type(decoded) == 'table' and decoded[1] and cjson.encode(decoded[1]) or record
end
"""

# The write that needs no memory.
_BEGIN = "redis.call('ZREM', index, '')"

_TAKE = f"""
local queue, processing, unacked, index = unpack(KEYS)
{_CLOCK}{_RECORD}{_BEGIN}
local max_bytes, handed_over = tonumber(ARGV[1]), redis.call('LLEN', processing)
local items, sizes = {{}}, {{}}
for number = 1, #ARGV - 1 do
  local tag = ARGV[number + 1]
  local source = number <= handed_over and processing or queue
  local item = redis.call('LINDEX', source, -1)
  if not item then break end
  redis.call('HSET', unacked, tag, FIRST .. item .. LAST)
  redis.call('ZADD', index, now, tag)
  redis.call('RPOP', source)
  items[number], sizes[number] = item:sub(1, max_bytes), #item
end
return {{items, sizes, redis.call('LLEN', queue)}}
"""

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
{_RECORD}{_BEGIN}
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

_REDELIVER = f"""
local queue, unacked, index, processes = unpack(KEYS)
{_CLOCK}{_RECORD}{_BEGIN}
local process, timeout, forget_after, max_count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

-- On the text, because cjson changes large numbers, and refuses some that JSON parsers accept. In a JSON string, the
-- quotes of these keys would be escaped.
local function count_loss(message)
  local function add_one(key, count) return key .. count + 1 end
  local counted, found = message:gsub('("{LOST_HEADER}"%s*:%s*)(%d+)', add_one, 1)
  if found > 0 then return counted end
  return (message:gsub('("headers"%s*:%s*{{%s*)"', '%1"{LOST_HEADER}": 1, "', 1))
end

redis.call('ZADD', processes, now, process)
local tags = redis.call('ZRANGEBYSCORE', index, '-inf', now - timeout, 'LIMIT', 0, max_count)
for _, tag in ipairs(tags) do
  local record = redis.call('HGET', unacked, tag)
  if record then redis.call('RPUSH', queue, count_loss(message_of(record))) end
  redis.call('HDEL', unacked, tag)
  redis.call('ZREM', index, tag)
end
for _, lost in ipairs(redis.call('ZRANGEBYSCORE', processes, '-inf', now - timeout)) do
  while redis.call('LMOVE', '{PROCESSING_KEY}' .. lost, queue, 'LEFT', 'RIGHT') do end
end
-- Forgotten much later: Redis may hand a message to a frozen process before that process wakes up.
redis.call('ZREMRANGEBYSCORE', processes, '-inf', now - timeout - forget_after)
for number = 5, #KEYS do
  while redis.call('LMOVE', KEYS[number], queue, 'RIGHT', 'LEFT') do end
end
return #tags
"""

_RETURN = f"""
local queue, processing, index = unpack(KEYS)
{_BEGIN}
while redis.call('LMOVE', processing, queue, 'LEFT', 'RIGHT') do end
"""

_EXTEND = f"""
local index = KEYS[1]
{_CLOCK}{_BEGIN}
local gone = {{}}
for _, tag in ipairs(ARGV) do
  if redis.call('ZSCORE', index, tag) then
    redis.call('ZADD', index, now, tag)
  else
    table.insert(gone, tag)
  end
end
return gone
"""

_PARK = f"""
local unacked, index, parked, bytes, dropped = unpack(KEYS)
local tag, entry, max_bytes = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HEXISTS', unacked, tag) == 0 then return end
{_BEGIN}
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

# The message replaces one that is acked next, so the queue of a full Redis may grow by it.
_REPUBLISH = f"""
local queue, index = unpack(KEYS)
{_BEGIN}
redis.call('LPUSH', queue, ARGV[1])
"""

# The second key has the names of all workers' keys, the third one the workers that answer queries. Those whose
# heartbeats have ended are removed.
_HEARTBEAT = f"""
{_CLOCK}
local function note(workers, worker)
  redis.call('ZADD', workers, now, worker)
  redis.call('ZREMRANGEBYSCORE', workers, '-inf', now - ARGV[2])
end

redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
note(KEYS[2], KEYS[1])
if ARGV[3] ~= '' then note(KEYS[3], ARGV[3]) end
"""

_START_ALONE = """
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('SCARD', KEYS[1])
"""


class Taken(NamedTuple):
    """Messages that were taken from the queue.

    Attributes:
        items: The items of the queue, in its order, each cut to the maximum.
        sizes: Their whole sizes in bytes.
        waiting: The length of the queue afterwards.
    """

    items: list[bytes]
    sizes: list[int]
    waiting: int


def take(redis: redis.Redis, processing: str, tags: Sequence[str], max_bytes: int) -> Taken:
    """Take messages from the processing list, then from the queue, and record them as unacked.

    Args:
        redis: The client. All functions of this module raise its RedisError.
        processing: The key of the process's processing list.
        tags: A new delivery tag for each message; as many are taken at most.
        max_bytes: How much of an item is returned. A huge one must not fill the memory of one worker after the other.
    """
    keys = [IMAGE_QUEUE, processing, UNACKED, UNACKED_INDEX]
    return Taken(*_run(redis, _TAKE, keys, [max_bytes, *tags]))


def ack(redis: redis.Redis, tags: Sequence[str]) -> None:
    """Remove unacked messages."""
    _run(redis, _ACK, [UNACKED, UNACKED_INDEX], tags)


def ack_ended(redis: redis.Redis, events: Mapping[str, bytes]) -> None:
    """Remove unacked messages, and add the events of those that were still unacked to the stream for webhooks.

    Args:
        redis: The client.
        events: The event of each delivery tag, in the order of the stream; empty if the tag has none.
    """
    pairs = [part for pair in events.items() for part in pair]
    _run(redis, _ACK_ENDED, [UNACKED, UNACKED_INDEX, ENDED, ENDED_DROPPED], [MAX_ENDED, *pairs])


def requeue(redis: redis.Redis, tags: Sequence[str], *, at_tail: bool = False) -> int:
    """Put unacked messages back on the queue, by default at its head. Return how many were still unacked."""
    push = "LPUSH" if at_tail else "RPUSH"
    return int(_run(redis, _REQUEUE, [IMAGE_QUEUE, UNACKED, UNACKED_INDEX], [push, *tags]))


def redeliver(redis: redis.Redis, process: str, timeout_s: float) -> int:
    """Show that this process is alive, and requeue the messages of lost processes at the head of the queue.

    A message that was unacked for `timeout_s` counts one more lost worker. A message that a process without a
    heartbeat never took counts none. Messages on priority queues move to the tail of the queue.

    Returns:
        How many messages were unacked for too long.
    """
    keys = [IMAGE_QUEUE, UNACKED, UNACKED_INDEX, PROCESSES_KEY, *_PRIORITY_QUEUES]
    total, count = 0, _MAX_REDELIVERED
    while count == _MAX_REDELIVERED:
        count = int(_run(redis, _REDELIVER, keys, [process, timeout_s, _FORGET_AFTER_S, _MAX_REDELIVERED]))
        total += count
    return total


def return_untaken(redis: redis.Redis, processing: str) -> None:
    """Put the processing list back at the head of the queue."""
    _run(redis, _RETURN, [IMAGE_QUEUE, processing, UNACKED_INDEX], [])


def extend_visibility(redis: redis.Redis, tags: Sequence[str]) -> list[str]:
    """Restart the visibility timeout of unacked messages; return the tags of those that are not unacked any more."""
    return [tag.decode() for tag in _run(redis, _EXTEND, [UNACKED_INDEX], tags)]


def read_unacked(redis: redis.Redis, tag: str) -> bytes | None:
    """Return an unacked message as it was on the queue; None if it is not unacked any more."""
    record: Any = redis.hget(UNACKED, tag)
    return None if record is None else record.removeprefix(_FIRST.encode()).removesuffix(_LAST.encode())


def park(redis: redis.Redis, tag: str, entry: Mapping[str, object]) -> None:
    """Move an unacked message to the parked messages as `entry`; drop the oldest of those if they exceed the bound."""
    keys = [UNACKED, UNACKED_INDEX, PARKED_LIST, PARKED_BYTES, PARKED_DROPPED]
    _run(redis, _PARK, keys, [tag, json.dumps(entry), PARKED_MAX_BYTES])


def republish(redis: redis.Redis, message: str) -> None:
    """Put a retry at the tail of the queue."""
    _run(redis, _REPUBLISH, [IMAGE_QUEUE, UNACKED_INDEX], [message])


def write_heartbeat(redis: redis.Redis, key: str, heartbeat: str, ttl_s: int, query_worker: str = "") -> None:
    """Set a key that expires after `ttl_s`, and note its name among the workers.

    Args:
        redis: The client.
        key: The worker's key.
        heartbeat: The heartbeat as JSON.
        ttl_s: Seconds until the worker counts as dead.
        query_worker: Its entry among the workers that answer queries; empty if it answers none.
    """
    _run(redis, _HEARTBEAT, [key, WORKERS, QUERY_WORKERS], [heartbeat, ttl_s, query_worker])


def remove_heartbeat(redis: redis.Redis, key: str) -> None:
    """Delete a worker's key, and its name among the workers."""
    pipeline = redis.pipeline()
    pipeline.delete(key)
    pipeline.zrem(WORKERS, key)
    pipeline.execute()


def start_alone(redis: redis.Redis, key: str, times_lost: int, keep_s: int) -> int:
    """Record that a job starts alone, and return how many such starts are recorded; two of one delivery are one."""
    return int(_run(redis, _START_ALONE, [key], [times_lost, keep_s]))


def _run(redis: redis.Redis, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
    return redis.register_script(script)(keys, args)
