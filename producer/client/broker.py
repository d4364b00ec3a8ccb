"""Connections to Redis for everything on the producer's side; their errors name the host and never the password."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from producer.contract.errors import BrokerUnavailable, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Broker:
    """Redis, as a backend reaches it. Connects on first use; safe to share between threads.

    Args:
        redis_url: Such as `redis://:password@host:6379/0`, or `rediss://` for TLS with a checked certificate.
        timeout_s: Seconds to wait for a connection and for each answer.

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
                # A push repeated after a lost answer can only double a job, which changes nothing.
                retry=Retry(ConstantBackoff(0.1), 1),
            )
            self._redis.connection_pool.make_connection()  # opens nothing, but reads the URL's options
        except (ValueError, TypeError):
            # redis-py's message may repeat the URL, and with it the password.
            raise ConfigurationError(
                "REDIS_URL cannot be read; it looks like redis://:password@host:6379/0 (or rediss:// for TLS)"
            ) from None

    @contextmanager
    def commands(self, failure: str) -> Iterator[redis.Redis]:
        """Give the client to a block whose commands may fail.

        Raises:
            BrokerUnavailable: Redis could not be reached or refused; `failure` says what then did not happen.
        """
        try:
            yield self._redis
        except (redis.RedisError, UnicodeError) as exc:  # UnicodeError: a host name that is none
            password = self._redis.get_connection_kwargs().get("password")
            reason = str(exc).replace(password or "\0", "***")
            raise BrokerUnavailable(f"Redis at {self.host} {failure}: {reason}") from None

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def redis_url_from_env() -> str:
    """Return `REDIS_URL`; raises ConfigurationError if it is not set."""
    url = os.environ.get("REDIS_URL")
    if not url:
        raise ConfigurationError("REDIS_URL is not set; it looks like redis://:password@host:6379/0")
    return url


def _host_of(redis_url: str) -> str:
    try:
        parts = urlsplit(redis_url)
        host, port = parts.hostname or "localhost", parts.port or 6379
    except ValueError:
        return "an unreadable address"
    return f"{host}:{port}"
