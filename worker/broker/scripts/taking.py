"""Taking messages from the queue, and holding them: they are unacked until they are acked, requeued or delayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from producer.contract.names import DELAYED, IMAGE_QUEUE, UNACKED, UNACKED_INDEX
from worker.broker.scripts.lua import BEGIN, CLOCK, FIRST, LAST, MOVE_DUE, RECORD, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import redis

# A list for each process: messages that Redis has handed to it and that it has not taken yet, the newest first.
PROCESSING_KEY = "clipqueue:taken:"

# The queue is looked at before and after: a worker that finds it empty waits, and due messages must not wait with it.
_TAKE = f"""
local queue, processing, unacked, index, delayed = unpack(KEYS)
{CLOCK}{RECORD}{BEGIN}{MOVE_DUE}
local max_bytes, max_due = tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('LLEN', queue) == 0 then max_due = MAX_MOVED end
local may_be_due = move_due(max_due) == max_due
local handed_over = redis.call('LLEN', processing)
local items, sizes = {{}}, {{}}
for number = 1, #ARGV - 2 do
  local tag = ARGV[number + 2]
  local source = number <= handed_over and processing or queue
  local item = redis.call('LINDEX', source, -1)
  if not item then break end
  redis.call('HSET', unacked, tag, FIRST .. item .. LAST)
  redis.call('ZADD', index, now, tag)
  redis.call('RPOP', source)
  items[number], sizes[number] = item:sub(1, max_bytes), #item
end
local waiting = redis.call('LLEN', queue)
if waiting == 0 and may_be_due then waiting = move_due(MAX_MOVED) end
return {{items, sizes, waiting, tonumber(time[1])}}
"""

_RETURN = f"""
local queue, processing, index = unpack(KEYS)
{BEGIN}
while redis.call('LMOVE', processing, queue, 'LEFT', 'RIGHT') do end
"""

_EXTEND = f"""
local index = KEYS[1]
{CLOCK}{BEGIN}
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


class Taken(NamedTuple):
    """Messages that were taken from the queue.

    Attributes:
        items: The items of the queue, in its order, each cut to the maximum.
        sizes: Their whole sizes in bytes.
        waiting: The length of the queue afterwards.
        now_s: Redis' clock, in seconds since the epoch.
    """

    items: list[bytes]
    sizes: list[int]
    waiting: int
    now_s: int


def take(redis: redis.Redis, processing: str, tags: Sequence[str], max_bytes: int, max_due: int = 0) -> Taken:
    """Take messages from the processing list, then from the queue, and record them as unacked.

    Due messages move to the head of the queue first.

    Args:
        redis: The client. All functions of this package raise its RedisError.
        processing: The key of the process's processing list.
        tags: A new delivery tag for each message; as many are taken at most.
        max_bytes: How much of an item is returned. A huge one must not fill the memory of one worker after the other.
        max_due: How many due messages may go before those that wait. If none waits, MAX_MOVED of them may.
    """
    keys = [IMAGE_QUEUE, processing, UNACKED, UNACKED_INDEX, DELAYED]
    return Taken(*run(redis, _TAKE, keys, [max_bytes, max_due, *tags]))


def return_untaken(redis: redis.Redis, processing: str) -> None:
    """Put the processing list back at the head of the queue."""
    run(redis, _RETURN, [IMAGE_QUEUE, processing, UNACKED_INDEX], [])


def extend_visibility(redis: redis.Redis, tags: Sequence[str]) -> list[str]:
    """Restart the visibility timeout of unacked messages; return the tags of those that are not unacked any more."""
    return [tag.decode() for tag in run(redis, _EXTEND, [UNACKED_INDEX], tags)]


def read_unacked(redis: redis.Redis, tag: str) -> bytes | None:
    """Return an unacked message as it was on the queue; None if it is not unacked any more."""
    record: Any = redis.hget(UNACKED, tag)
    return None if record is None else record.removeprefix(FIRST.encode()).removesuffix(LAST.encode())
