"""The client a backend imports: it puts jobs on Redis and returns at once. It never imports Celery."""

from __future__ import annotations

import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from producer.broker import Broker, redis_url_from_env
from producer.contract import IMAGE_QUEUE, ImageJob
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
        self._broker = Broker(redis_url, timeout_s)

    @classmethod
    def from_env(cls) -> Self:
        """Make a client from the environment variable `REDIS_URL`.

        Raises:
            ConfigurationError: `REDIS_URL` is not set or cannot be read.
        """
        return cls(redis_url_from_env())

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
        self._broker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _push(self, messages: list[bytes]) -> None:
        with self._broker.commands("did not take the job") as redis:
            redis.lpush(IMAGE_QUEUE, *messages)


def _chunks(messages: Iterator[bytes]) -> Iterator[list[bytes]]:
    while chunk := list(islice(messages, PUSH_CHUNK)):
        yield chunk
