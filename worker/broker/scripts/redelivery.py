"""Finding the messages of lost workers, and counting how many workers a message has lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.names import DELAYED, IMAGE_QUEUE, UNACKED, UNACKED_INDEX
from worker.broker.scripts.delays import REQUEUE_DUE
from worker.broker.scripts.lua import BEGIN, CLOCK, RECORD, run
from worker.broker.scripts.taking import PROCESSING_KEY

if TYPE_CHECKING:
    import redis

# A sorted set of process names, scored by their last heartbeat in seconds since the epoch.
PROCESSES_KEY = "clipqueue:takers"
# A message's header: how many workers died while they held it. Only `redeliver` increments it.
LOST_HEADER = "clipqueue_lost"

# kombu's producers put messages with a priority on these lists.
_PRIORITY_QUEUES = tuple(f"{IMAGE_QUEUE}\x06\x16{step}" for step in (3, 6, 9))
_MAX_REDELIVERED = 100
_FORGET_AFTER_S = 3600.0

_REDELIVER = f"""
local queue, unacked, index, delayed, processes = unpack(KEYS)
{CLOCK}{RECORD}{BEGIN}
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
for number = 6, #KEYS do
  while redis.call('LMOVE', KEYS[number], queue, 'RIGHT', 'LEFT') do end
end
{REQUEUE_DUE}
return #tags
"""

_START_ALONE = """
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('SCARD', KEYS[1])
"""


def redeliver(redis: redis.Redis, process: str, timeout_s: float) -> int:
    """Show that this process is alive, and requeue the messages of lost processes at the head of the queue.

    A message that was unacked for `timeout_s` counts one more lost worker. A message that a process without a
    heartbeat never took counts none. Messages on priority queues move to the tail of the queue. If nothing waits there,
    due messages follow.

    Returns:
        How many messages were unacked for too long.
    """
    keys = [IMAGE_QUEUE, UNACKED, UNACKED_INDEX, DELAYED, PROCESSES_KEY, *_PRIORITY_QUEUES]
    total, count = 0, _MAX_REDELIVERED
    while count == _MAX_REDELIVERED:
        count = int(run(redis, _REDELIVER, keys, [process, timeout_s, _FORGET_AFTER_S, _MAX_REDELIVERED]))
        total += count
    return total


def start_alone(redis: redis.Redis, key: str, times_lost: int, keep_s: int) -> int:
    """Record that a job starts alone, and return how many such starts are recorded; two of one delivery are one."""
    return int(run(redis, _START_ALONE, [key], [times_lost, keep_s]))
