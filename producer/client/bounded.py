"""Connections of redis-py that keep a deadline, and retry on the new primary after a failover."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from ..contract.redis_errors import is_failover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RETRIES = 1
_BACKOFF_S = 0.1


class Deadline(threading.local):
    """Until when the call in this thread may wait.

    Args:
        clock: Seconds; `time.monotonic` by default.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = math.inf

    @property
    def left_s(self) -> float:
        """The seconds that are left, negative if there are none, infinite outside of `within`."""
        return self._at - self._clock()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """End all waits of the block after `seconds`, or earlier if an outer block says so."""
        outer, self._at = self._at, min(self._at, self._clock() + seconds)
        try:
            yield
        finally:
            self._at = outer


class FailoverRetry(Retry):
    """Retries once, on a new connection, if the connection broke or the server is not the primary any more.

    A command that such a server refuses was not executed, so the retry is safe. If only the answer was lost, the retry
    enqueues a job twice, which is harmless: jobs are idempotent.
    """

    def __init__(self, deadline: Deadline, drop_idle: Callable[[], None]) -> None:
        errors = (redis.ConnectionError, redis.TimeoutError, TimeoutError, ResponseError)
        super().__init__(ConstantBackoff(_BACKOFF_S), _RETRIES, errors)
        self._deadline = deadline
        self._drop_idle = drop_idle

    def __deepcopy__(self, memo: object) -> FailoverRetry:
        """Return itself: each connection makes a copy, which would copy the pool too."""
        return self

    def call_with_retry(self, do: Callable[[], Any], fail: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call `do`, and once more after `fail` if its error is one that a new connection may mend."""

        def fail_or_raise(error: Exception, *count: int) -> None:
            if is_failover(error):
                # The old primary keeps its sockets open, and only a new connection resolves the name anew.
                self._drop_idle()
            elif isinstance(error, ResponseError):
                raise error
            fail(error, *count)
            if self._deadline.left_s <= _BACKOFF_S:
                raise error

        return super().call_with_retry(do, fail_or_raise, *args, **options)


class _Bounded:
    """A connection of redis-py that waits no longer than its deadline allows."""

    _sock: Any
    socket_timeout: Any
    socket_connect_timeout: Any

    def __init__(self, *, deadline: Deadline, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._deadline = deadline
        self._waits: Any = (self.socket_connect_timeout, self.socket_timeout)

    def connect(self) -> None:
        self._limit()
        super().connect()  # type: ignore[misc]

    def send_packed_command(self, *args: Any, **options: Any) -> None:
        self._limit()
        super().send_packed_command(*args, **options)  # type: ignore[misc]

    def read_response(self, *args: Any, **options: Any) -> Any:
        self._limit()
        return super().read_response(*args, **options)  # type: ignore[misc]

    def _limit(self) -> None:
        if (left := self._deadline.left_s) <= 0:
            self.disconnect()  # type: ignore[attr-defined]  # the answer that is still to come belongs to no later command
            raise redis.TimeoutError("no time is left for this call")
        self.socket_connect_timeout, self.socket_timeout = (min(wait, left) for wait in self._waits)
        if self._sock is not None:
            self._sock.settimeout(self.socket_timeout)


class BoundedTcp(_Bounded, redis.Connection):
    """TCP."""


class BoundedTls(_Bounded, redis.SSLConnection):
    """TLS."""


class BoundedSocket(_Bounded, redis.UnixDomainSocketConnection):
    """A Unix socket."""


class BoundedManaged(_Bounded, SentinelManagedConnection):
    """TCP to the primary that the sentinels name."""

    def send_packed_command(self, *args: Any, **options: Any) -> None:
        """Connect if necessary, and send a command."""
        if self._sock is None:
            self.connect()  # redis-py would connect to the last primary again, without asking the sentinels
        super().send_packed_command(*args, **options)


class BoundedManagedTls(BoundedManaged, SentinelManagedSSLConnection):
    """TLS to the primary that the sentinels name."""
