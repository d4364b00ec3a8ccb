"""The connection to Redis for all of the producer's code. Its errors name the host and never the password."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis
from redis.exceptions import AskError, ClusterCrossSlotError, TryAgainError

from ..contract.errors import BrokerUnavailable
from ..contract.redis_errors import is_failover
from ..contract.redis_options import CLUSTER
from ..contract.redis_reasons import reason_of
from ..contract.redis_url import RedisUrl, parse_redis_url
from .bounded import Deadline
from .connections import ClusterRefused, close_redis, connect_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLUSTER_ERRORS = (ClusterRefused, AskError, ClusterCrossSlotError, TryAgainError)


class UnsupportedRedis(BrokerUnavailable):
    """The server is one that clipqueue can never use."""


class Broker:
    """A Redis client with timeouts. It connects on first use and is safe to share between threads.

    If the server is not the primary any more, all its connections are dropped and the command is sent once more.

    Args:
        redis_url: A URL that `parse_redis_url` reads.
        timeout_s: Seconds to wait for a connection, and for each answer, unless the URL names others.
        deadline: Limits all waits of a call together.

    Attributes:
        url: What the URL says.
        host: What messages call the server.

    Raises:
        ConfigurationError: The URL cannot be read, or asks for what is not supported.
    """

    def __init__(self, redis_url: str | RedisUrl, timeout_s: float = 5.0, deadline: Deadline | None = None) -> None:
        self.url = redis_url if isinstance(redis_url, RedisUrl) else parse_redis_url(redis_url)
        self.host = self.url.shown
        self._deadline = deadline or Deadline()
        self._redis = connect_redis(self.url, timeout_s, self._deadline)

    @contextmanager
    def commands(self, failure: str, note: str = "", *, within_s: float = float("inf")) -> Iterator[redis.Redis]:
        """Yield the Redis client, and turn its errors into BrokerUnavailable.

        Args:
            failure: What the error says after the host's name, such as `did not accept the job`.
            note: What the error says after the reason.
            within_s: Seconds that all commands of the block may take together, retries included. The system's name
                lookup is not limited.

        Raises:
            BrokerUnavailable: Redis could not be reached, or refused a command.
        """
        try:
            with self._deadline.within(within_s):
                yield self._redis
        except (redis.RedisError, UnicodeError) as exc:  # UnicodeError: an invalid host name
            if is_failover(exc):
                self._redis.connection_pool.disconnect(inuse_connections=False)
            kind = UnsupportedRedis if isinstance(exc, _CLUSTER_ERRORS) else BrokerUnavailable
            raise kind(f"Redis at {self.host} {failure}: {self._reason(exc)}{note}") from None

    def refuse_cluster(self) -> None:
        """Check that the server is no Redis Cluster. One that refuses INFO is none, as far as one can tell.

        Raises:
            UnsupportedRedis: It is one.
            BrokerUnavailable: Redis could not be reached.
        """
        with self.commands("cannot be used") as client:
            try:
                info = client.info("server")
            except redis.ResponseError as exc:
                if is_failover(exc) or isinstance(exc, _CLUSTER_ERRORS):
                    raise
                return
            if "cluster" in {info.get("redis_mode"), info.get("server_mode")}:
                raise ClusterRefused

    def close(self) -> None:
        """Close the connections."""
        close_redis(self._redis)

    def _reason(self, exc: Exception) -> str:
        return CLUSTER if isinstance(exc, _CLUSTER_ERRORS) else reason_of(exc, self.url.secrets)
