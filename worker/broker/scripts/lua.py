"""What several Lua scripts share: the clock, the format of a record, the first write, and how due messages move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.contract.names import IMAGE_QUEUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

CLOCK = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
"""

# A record is [message, exchange, routing key] as JSON, the format of kombu's transport.
FIRST, LAST = "[", f',"","{IMAGE_QUEUE}"]'
RECORD = f"""
local FIRST, LAST = '{FIRST}', '{LAST}'
local function message_of(record)
  if record:sub(1, #FIRST) == FIRST and record:sub(-#LAST) == LAST then
    return record:sub(#FIRST + 1, -#LAST - 1)
  end
  local is_json, decoded = pcall(cjson.decode, record)
  return is_json and type(decoded) == 'table' and decoded[1] and cjson.encode(decoded[1]) or record
end
"""

# The write that needs no memory.
BEGIN = "redis.call('ZREM', index, '')"

# How many due messages a script moves at most, so that thousands of them do not block Redis.
MAX_MOVED = 100
# Moves due messages to the head of the queue, the one that has waited longest first, and returns how many.
MOVE_DUE = f"""
local MAX_MOVED = {MAX_MOVED}
local function move_due(max_count)
  if max_count == 0 then return 0 end
  local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, max_count)
  for number = #due, 1, -1 do
    redis.call('RPUSH', queue, due[number])
    redis.call('ZREM', delayed, due[number])
  end
  return #due
end
"""


def run(redis: redis.Redis, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
    """Run a script. Raises RedisError."""
    return redis.register_script(script)(keys, args)
