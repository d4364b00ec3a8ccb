"""The events that wait on Redis for `clipqueue notify`, and the lock that lets only one of them send."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from producer.client.ended import count_events
from producer.contract.names import ENDED, ENDED_REFUSED, NOTIFY_LOCK

if TYPE_CHECKING:
    from producer.client.broker import Broker
    from producer.client.ended import EventCounts

# Longer than an attempt takes. The lock of a killed process expires after this time.
LOCK_MS = 60_000
_NO_ANSWER = "did not answer"
_NOTHING = ("0-0", False)

# XDEL is first: it needs no memory, and a full Redis refuses SET unless the script has written before.
_NEXT = """
local ended, refused, lock = unpack(KEYS)
local token, lock_ms, finished, is_refused = unpack(ARGV)
if redis.call('XDEL', ended, finished) == 1 and is_refused == '1' then redis.call('INCR', refused) end
local holder = redis.call('GET', lock)
if holder and holder ~= token then return false end
redis.call('SET', lock, token, 'PX', lock_ms)
return redis.call('XRANGE', ended, '-', '+', 'COUNT', 1)
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class Event(NamedTuple):
    """An event: its id in the stream, and an `EndedJob` as JSON."""

    id: str
    content: bytes


class EventStream:
    """The events on Redis, as one process that wants to send them sees them.

    All methods raise BrokerUnavailable.

    Attributes:
        is_ours: Whether the last `next` took or kept the lock. Else another process sends.
    """

    def __init__(self, broker: Broker, wait_s: float) -> None:
        self._broker = broker
        # The wait must end before the connection's timeout, which the URL may set.
        self._wait_s = min(wait_s, float(broker.url.options.get("socket_timeout", 2 * wait_s)) / 2)
        self._token = uuid.uuid4().hex
        self._finished = _NOTHING
        self.is_ours = False

    def finish(self, event: Event, *, is_refused: bool = False) -> None:
        """Remove an event with the next `next`. If Redis is away, with a later one."""
        self._finished = (event.id, is_refused)

    def next(self) -> Event | None:
        """Take the lock or renew it, and return the oldest event; None if there is none, or another process sends."""
        finished, is_refused = self._finished
        with self._broker.commands(_NO_ANSWER) as redis:
            keys = [ENDED, ENDED_REFUSED, NOTIFY_LOCK]
            args: list[str | int] = [self._token, LOCK_MS, finished, int(is_refused)]
            entries: Any = redis.register_script(_NEXT)(keys, args)
        self._finished, self.is_ours = _NOTHING, entries is not None
        return _event(entries[0]) if entries else None

    def wait(self) -> None:
        """Wait until there is an event, or for `wait_s`."""
        with self._broker.commands(_NO_ANSWER) as redis:
            redis.xread({ENDED: "0"}, count=1, block=max(1, int(self._wait_s * 1000)))

    def counts(self) -> EventCounts:
        """Return how many events there are."""
        with self._broker.commands(_NO_ANSWER) as redis:
            return count_events(redis)

    def release(self) -> None:
        """Remove what is finished, and let another process send."""
        self.next()
        with self._broker.commands(_NO_ANSWER) as redis:
            redis.register_script(_RELEASE)([NOTIFY_LOCK], [self._token])


def _event(entry: tuple[bytes, list[bytes]]) -> Event:
    entry_id, fields = entry
    return Event(entry_id.decode(), dict(zip(fields[::2], fields[1::2], strict=True)).get(b"event", b""))
