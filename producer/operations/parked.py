"""Reads, requeues and drops the parked messages: items of the queue that were no valid jobs.

The scripts keep PARKED_BYTES right: each sets it to the sum of what is left, so entries of earlier versions, which
were never added to it, cannot make it wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.contract.names import IMAGE_QUEUE, PARKED_BYTES, PARKED_DROPPED, PARKED_LIST
from producer.contract.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

_CHUNK = 1000  # messages in one script: few enough not to block Redis for long
_ID = re.compile(r"[0-9a-f]{32}")
# A parked message may contain signed URLs and tokens: everything after `?` is hidden, in any encoding, and so are long
# runs of token characters.
_SECRET = re.compile(r"(\?|%3f|\\u003f).*|[A-Za-z0-9+/=_-]{40,}", re.IGNORECASE | re.DOTALL)
_UNREADABLE = "an unreadable entry, which no worker has written"

_KEYS = (PARKED_LIST, PARKED_BYTES, PARKED_DROPPED, IMAGE_QUEUE)
_COUNT_BYTES = """
local bytes = 0
for first = 0, redis.call('LLEN', KEYS[1]) - 1, 100 do
    for _, entry in ipairs(redis.call('LRANGE', KEYS[1], first, first + 99)) do bytes = bytes + #entry end
end
if bytes > 0 then redis.call('SET', KEYS[2], bytes) else redis.call('DEL', KEYS[2]) end
"""
# ARGV: an entry, its item, the next entry, ... A script that fails is not undone. So the item is pushed before the
# entry is removed: a Redis that is full or refuses the push leaves the message parked.
_REQUEUE = f"""
local count = 0
for i = 1, #ARGV, 2 do
    if redis.call('LPOS', KEYS[1], ARGV[i], 'RANK', -1) then
        redis.call('LPUSH', KEYS[4], ARGV[i + 1])
        count = count + redis.call('LREM', KEYS[1], -1, ARGV[i])
    end
end
{_COUNT_BYTES}
return count
"""
# ARGV: the entries.
_DROP = f"""
local count = 0
for _, entry in ipairs(ARGV) do count = count + redis.call('LREM', KEYS[1], -1, entry) end
{_COUNT_BYTES}
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('DEL', KEYS[3]) end
return count
"""


@dataclass(frozen=True)
class ParkedMessage:
    """One parked message.

    Attributes:
        entry: The entry on Redis.
        id: 32 hex digits. An entry without an id is known by a digest of its content.
        at: When it was parked; None if the entry is unreadable.
        reason: Why it is not a valid job.
        size: The size of the item in bytes.
        item: What was on the queue, whole or cut; None if the entry is unreadable.
    """

    entry: bytes
    id: str
    at: datetime | None
    reason: str
    size: int
    item: bytes | None

    @classmethod
    def of(cls, entry: bytes) -> ParkedMessage:
        """Read an entry of the list."""
        digest = hashlib.sha256(entry).hexdigest()[:32]
        try:
            fields = json.loads(entry)
            at = datetime.fromtimestamp(fields["parked_at"] / 1e3, UTC)
            item = base64.b64decode(fields["item"], validate=True)
            size, reason, own_id = int(fields["bytes"]), str(fields["reason"]), str(fields.get("id", ""))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError, RecursionError):
            return cls(entry, digest, None, _UNREADABLE, len(entry), None)
        return cls(entry, own_id if _ID.fullmatch(own_id) else digest, at, reason, size, item)

    @property
    def obstacle(self) -> str | None:
        """Why the message cannot be requeued; None if it can."""
        if self.item is None:
            return f"it is {_UNREADABLE}"
        if len(self.item) < self.size:
            return f"only {len(self.item):,} of its {self.size:,} bytes were kept, because no valid message is larger"
        return None

    def shown(self) -> str:
        """Return the start of the item as one line, without the queries of URLs and without tokens."""
        return printable(_SECRET.sub("...", (self.item or b"").decode("utf-8", "replace")))

    def described(self) -> str:
        """Return all facts as one line."""
        if self.at is None:
            return f"{self.id}  {self.reason}, {self.size:,} bytes"
        return (
            f"{self.id}  {self.at:%Y-%m-%d %H:%M:%S} UTC, {self.size:,} bytes, {printable(self.reason)}: {self.shown()}"
        )


def count_parked(redis: Redis) -> int:
    """Return how many messages are parked. Raises what redis-py raises."""
    count: Any = redis.llen(PARKED_LIST)
    return int(count)


def count_dropped(redis: Redis) -> int:
    """Return how many parked messages were dropped because the list was full. Raises what redis-py raises."""
    return _number(redis.get(PARKED_DROPPED))


def count_bytes(redis: Redis) -> int:
    """Return the size of all parked entries. Raises what redis-py raises."""
    return _number(redis.get(PARKED_BYTES))


def read_parked(redis: Redis, limit: int | None = None) -> list[ParkedMessage]:
    """Return the parked messages, newest first, at most `limit`. Raises what redis-py raises."""
    if limit == 0:
        return []
    entries: Any = redis.lrange(PARKED_LIST, 0, -1 if limit is None else limit - 1)
    return [ParkedMessage.of(entry) for entry in entries]


def requeue_parked(redis: Redis, messages: Sequence[ParkedMessage]) -> int:
    """Put parked messages on the queue again, behind all waiting jobs; return how many were still parked.

    Each message leaves the list in the script that pushes it. The oldest is consumed first.

    Args:
        redis: The client.
        messages: Messages without an obstacle, newest first.

    Raises:
        RedisError: Redis did not answer or refused a write. The messages that it did not push are still parked.
    """
    # From the oldest: the scripts search from the end of the list, so they find it at once.
    oldest_first = messages[::-1]
    run = redis.register_script(_REQUEUE)
    return sum(
        run(_KEYS, [part for message in chunk for part in (message.entry, message.item or b"")])
        for chunk in _chunks(oldest_first)
    )


def drop_parked(redis: Redis, messages: Sequence[ParkedMessage]) -> int:
    """Delete parked messages, and the count of dropped ones if none is left; return how many were still parked.

    Raises:
        RedisError: Redis did not answer or refused a write.
    """
    run = redis.register_script(_DROP)
    # Once even without a message, for the count of dropped ones.
    return sum(run(_KEYS, [message.entry for message in chunk]) for chunk in _chunks(messages[::-1]) or [()])


def _chunks(messages: Sequence[ParkedMessage]) -> list[Sequence[ParkedMessage]]:
    return [messages[first : first + _CHUNK] for first in range(0, len(messages), _CHUNK)]


def _number(value: Any) -> int:
    return int(value) if value and value.isdigit() else 0
