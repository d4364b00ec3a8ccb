"""The connection to Redis for all of the producer's code. Its errors name the host and never the password."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import redis
from redis.exceptions import AskError, ClusterCrossSlotError, TryAgainError
from redis.sentinel import MasterNotFoundError

from ..contract.errors import BrokerUnavailable
from ..contract.redis_errors import error_text, is_failover, is_full
from ..contract.redis_options import CLUSTER
from ..contract.redis_url import RedisUrl, parse_redis_url
from .bounded import Deadline
from .connections import ClusterRefused, close_redis, connect_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = (
    "it is full: its memory has reached maxmemory. Start more workers so that the queue shrinks, enqueue more slowly, "
    "or give Redis more memory"
)
_NOT_SAVED = "it refuses writes because it cannot save them: check its log, and the free space on its disk"
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
        """Check that the server is no Redis Cluster.

        Raises:
            UnsupportedRedis: It is one.
            BrokerUnavailable: Redis could not be reached.
        """
        with self.commands("cannot be used") as client:
            info = client.info("server")
            if "cluster" in {info.get("redis_mode"), info.get("server_mode")}:
                raise ClusterRefused

    def close(self) -> None:
        """Close the connections."""
        close_redis(self._redis)

    def _reason(self, exc: Exception) -> str:
        if isinstance(exc, _CLUSTER_ERRORS):
            return CLUSTER
        if isinstance(exc, MasterNotFoundError):
            return "no sentinel answered that knows this primary"
        if is_full(exc):
            return _FULL
        text = error_text(exc)
        if text.startswith("MISCONF"):
            return _NOT_SAVED
        for secret in self.url.secrets:
            text = text.replace(secret, "***")
        return f"it is not the primary, or not ready: {text}" if is_failover(exc) else text
