"""The client a backend imports: it puts jobs on Redis and returns at once. It never imports Celery."""

from __future__ import annotations

import os
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from producer.contract import IMAGE_QUEUE, ImageJob
from producer.errors import BrokerUnavailable, ConfigurationError
from producer.message import image_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

# One LPUSH carries this many messages: large enough to hide the round trip, small enough (about 700 KB)
# to leave Redis responsive to others.
PUSH_CHUNK = 500


class EmbeddingClient:
    """Enqueues embedding jobs. Safe to share between threads; connects on first use.

    Args:
        redis_url: Such as `redis://:password@host:6379/0`, or `rediss://` for TLS with a checked certificate.
        timeout_s: Seconds to wait for a connection and for each answer.

    Raises:
        ConfigurationError: The URL cannot be read.
    """

    def __init__(self, redis_url: str, *, timeout_s: float = 5.0) -> None:
        self._host = _host_of(redis_url)
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

    @classmethod
    def from_env(cls) -> Self:
        """Make a client from the environment variable `REDIS_URL`.

        Raises:
            ConfigurationError: `REDIS_URL` is not set or cannot be read.
        """
        url = os.environ.get("REDIS_URL")
        if not url:
            raise ConfigurationError("REDIS_URL is not set; it looks like redis://:password@host:6379/0")
        return cls(url)

    def enqueue(self, image_id: object, url: str, *, force: bool = False) -> str:
        """Put one image on the queue and return the task's id.

        Args:
            image_id: The `_id` of the document that gets the vector: a string, a `bson.ObjectId` or
                `{"$oid": "<24 hex>"}`.
            url: An http or https URL, at most 2,048 characters.
            force: Embed again even if the document already holds this model's vector for this URL.

        Raises:
            InvalidJob: The id or the URL cannot be used. Nothing was enqueued.
            BrokerUnavailable: Redis could not be reached or refused the message.
        """
        task_id = str(uuid.uuid4())
        self._push([image_message(ImageJob.new(image_id, url, force=force), task_id)])
        return task_id

    def enqueue_many(self, jobs: Iterable[tuple[Any, str]], *, force: bool = False) -> int:
        """Put many images on the queue and return how many there were.

        Args:
            jobs: Pairs of image id and URL; read lazily, so a generator over a large collection is fine.
            force: As for `enqueue`, for all of them.

        Raises:
            InvalidJob: A pair cannot be used. The pairs before it were enqueued, save for those of its chunk.
            BrokerUnavailable: Redis could not be reached; some chunks may have been enqueued.
        """
        count = 0
        messages = (
            image_message(ImageJob.new(image_id, url, force=force), str(uuid.uuid4())) for image_id, url in jobs
        )
        for chunk in _chunks(messages):
            self._push(chunk)
            count += len(chunk)
        return count

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _push(self, messages: list[bytes]) -> None:
        try:
            self._redis.lpush(IMAGE_QUEUE, *messages)
        except (redis.RedisError, UnicodeError) as exc:  # UnicodeError: a host name that is none
            reason = str(exc).replace(_password_of(self._redis) or "\0", "***")
            raise BrokerUnavailable(f"Redis at {self._host} did not take the job: {reason}") from None


def _chunks(messages: Iterator[bytes]) -> Iterator[list[bytes]]:
    while chunk := list(islice(messages, PUSH_CHUNK)):
        yield chunk


def _host_of(redis_url: str) -> str:
    try:
        parts = urlsplit(redis_url)
        host, port = parts.hostname or "localhost", parts.port or 6379
    except ValueError:
        return "an unreadable address"
    return f"{host}:{port}"


def _password_of(client: redis.Redis) -> str | None:
    return client.get_connection_kwargs().get("password")
