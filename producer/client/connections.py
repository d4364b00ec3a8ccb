"""Builds redis-py's client for a RedisUrl: for one server, a Unix socket or Sentinel, with and without TLS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from ..contract.redis_options import KEEPALIVE
from .bounded import BoundedManaged, BoundedManagedTls, BoundedSocket, BoundedTcp, BoundedTls, FailoverRetry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..contract.redis_url import RedisUrl
    from .bounded import Deadline

_HEALTH_CHECK_S = 30


class ClusterRefused(ResponseError):
    """The server is a node of a Redis Cluster."""


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
        "retry": FailoverRetry(deadline, drop_idle),
    }
    if url.master_name:
        kind: type[Any] = BoundedManagedTls if url.tls else BoundedManaged
        sentinels = _sentinels(url, wait_s, deadline)
        pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
            url.master_name, sentinels, connection_class=kind, **arguments
        )
    elif url.path:
        pool = redis.ConnectionPool(BoundedSocket, path=url.path, **arguments)
    else:
        ((host, port),) = url.addresses
        pool = redis.ConnectionPool(BoundedTls if url.tls else BoundedTcp, host=host, port=port, **arguments)
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
    kind = BoundedTls if url.sentinel_tls else BoundedTcp
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
