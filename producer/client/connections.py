"""Builds redis-py's client for a RedisUrl: its connections keep a deadline and find the primary after a failover."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection, SentinelManagedSSLConnection

from ..contract.redis_errors import is_failover
from ..contract.redis_options import KEEPALIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..contract.redis_url import RedisUrl

_HEALTH_CHECK_S = 30
_RETRIES = 1
_BACKOFF_S = 0.1


class ClusterRefused(ResponseError):
    """The server is a node of a Redis Cluster."""


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


class _FailoverRetry(Retry):
    """Retries once, on a new connection, if the connection broke or the server is not the primary any more.

    A command that such a server refuses was not executed, so the retry is safe. If only the answer was lost, the retry
    enqueues a job twice, which is harmless: jobs are idempotent.
    """

    def __init__(self, deadline: Deadline, drop_idle: Callable[[], None]) -> None:
        errors = (redis.ConnectionError, redis.TimeoutError, TimeoutError, ResponseError)
        super().__init__(ConstantBackoff(_BACKOFF_S), _RETRIES, errors)
        self._deadline = deadline
        self._drop_idle = drop_idle

    def __deepcopy__(self, memo: object) -> _FailoverRetry:
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


class _BoundedTcp(_Bounded, redis.Connection):
    pass


class _BoundedTls(_Bounded, redis.SSLConnection):
    pass


class _BoundedSocket(_Bounded, redis.UnixDomainSocketConnection):
    pass


class _BoundedManaged(_Bounded, SentinelManagedConnection):
    def send_packed_command(self, *args: Any, **options: Any) -> None:
        if self._sock is None:
            self.connect()  # redis-py would connect to the last primary again, without asking the sentinels
        super().send_packed_command(*args, **options)


class _BoundedManagedTls(_BoundedManaged, SentinelManagedSSLConnection):
    pass


def connect_redis(url: RedisUrl, wait_s: float, deadline: Deadline) -> redis.Redis:
    """Return a client that connects on first use. `close_redis` closes it.

    Args:
        url: Where Redis is.
        wait_s: Seconds to connect, and seconds to wait for each answer, unless the URL names others.
        deadline: Limits all waits of a call together.
    """
    pool: redis.ConnectionPool

    def drop_idle() -> None:
        pool.disconnect(inuse_connections=False)

    arguments = {
        **_connection_arguments(url, wait_s, deadline),
        **(url.tls or {}),
        "db": url.db,
        "username": url.username,
        "password": url.password,
        "redis_connect_func": _connect_to_primary,
        "retry": _FailoverRetry(deadline, drop_idle),
    }
    if url.master_name:
        kind: type[Any] = _BoundedManagedTls if url.tls else _BoundedManaged
        sentinels = _sentinels(url, wait_s, deadline)
        pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            url.master_name, sentinels, connection_class=kind, **arguments
        )
    elif url.path:
        pool = redis.ConnectionPool(_BoundedSocket, path=url.path, **arguments)
    else:
        ((host, port),) = url.addresses
        pool = redis.ConnectionPool(_BoundedTls if url.tls else _BoundedTcp, host=host, port=port, **arguments)
    return redis.Redis.from_pool(pool)


def close_redis(client: redis.Redis) -> None:
    """Close the connections to Redis and to its sentinels."""
    if isinstance(client.connection_pool, SentinelConnectionPool):
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            sentinel.close()
    client.close()


def _connection_arguments(url: RedisUrl, wait_s: float, deadline: Deadline) -> dict[str, Any]:
    keepalive = {} if url.path else {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
    return {
        "socket_timeout": wait_s,
        "socket_connect_timeout": wait_s,
        "health_check_interval": _HEALTH_CHECK_S,
        **keepalive,
        **url.options,
        "deadline": deadline,
    }


def _sentinels(url: RedisUrl, wait_s: float, deadline: Deadline) -> Sentinel:
    """Return redis-py's Sentinel, with clients that keep the deadline. A silent one leaves time for the others."""
    arguments: Mapping[str, Any] = {
        **_connection_arguments(url, wait_s / len(url.addresses), deadline),
        **url.sentinel_login,
        **(url.sentinel_tls or {}),
        "retry": Retry(NoBackoff(), 0),
    }
    kind = _BoundedTls if url.sentinel_tls else _BoundedTcp
    manager = Sentinel([], min_other_sentinels=url.min_other_sentinels)  # type: ignore[no-untyped-call]
    manager.sentinels = [
        redis.Redis.from_pool(redis.ConnectionPool(kind, host=host, port=port, **arguments))
        for host, port in url.addresses
    ]
    return manager


def _connect_to_primary(connection: Any) -> None:
    # redis-py would start with a health check, which costs a round trip, and fails if the disk of Redis is full.
    connection.next_health_check = time.monotonic() + connection.health_check_interval
    connection.on_connect()
    greeting = getattr(connection, "handshake_metadata", None) or {}
    if greeting.get(b"mode", greeting.get("mode")) in {b"cluster", "cluster"}:
        raise ClusterRefused("it is a node of a Redis Cluster")
