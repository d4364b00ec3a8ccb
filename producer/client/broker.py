"""The connection to Redis for all of the producer's code. Its errors name the host and never the password."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from ..contract.errors import BrokerUnavailable, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Broker:
    """A Redis client with timeouts. It connects on first use and is safe to share between threads.

    Args:
        redis_url: `redis://:password@host:6379/0`, or `rediss://` for TLS with certificate verification.
        timeout_s: Seconds to wait for a connection, and for each answer.

    Raises:
        ConfigurationError: The URL cannot be read.
    """

    def __init__(self, redis_url: str, timeout_s: float = 5.0) -> None:
        self.host = _host_of(redis_url)
        try:
            self._redis: redis.Redis = redis.Redis.from_url(
                redis_url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                # If the answer was lost, the retry enqueues the job twice, which is harmless: jobs are idempotent.
                retry=Retry(ConstantBackoff(0.1), 1),
            )
            self._redis.connection_pool.make_connection()  # does not connect, but checks the URL's options
        except (ValueError, TypeError):
            # redis-py's message may repeat the URL, and with it the password.
            raise ConfigurationError(
                "REDIS_URL is invalid; expected format: redis://:password@host:6379/0 (or rediss:// for TLS)"
            ) from None

    @contextmanager
    def commands(self, failure: str, note: str = "") -> Iterator[redis.Redis]:
        """Yield the Redis client, and turn its errors into BrokerUnavailable.

        Args:
            failure: What the error says after the host's name, such as `did not accept the job`.
            note: What the error says after the reason.

        Raises:
            BrokerUnavailable: Redis could not be reached, or refused a command.
        """
        try:
            yield self._redis
        except (redis.RedisError, UnicodeError) as exc:  # UnicodeError: an invalid host name
            password = self._redis.get_connection_kwargs().get("password")
            reason = str(exc).replace(password or "\0", "***")
            raise BrokerUnavailable(f"Redis at {self.host} {failure}: {reason}{note}") from None

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _host_of(redis_url: str) -> str:
    try:
        parts = urlsplit(redis_url)
        host, port = parts.hostname or "localhost", parts.port or 6379
    except ValueError:
        return "an unreadable address"
    return f"{host}:{port}"
