"""The client a backend imports: it puts jobs on Redis and returns at once.

It never imports Celery, and pymongo only once a job is to be recorded.
"""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any, Self

from producer.client.broker import Broker, redis_url_from_env
from producer.client.environment import collection_name, mongodb_uri
from producer.client.queue import chunked, push
from producer.contract.errors import ConfigurationError
from producer.contract.job import ImageJob
from producer.contract.names import DEFAULT_COLLECTION

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from producer.documents.documents import ImageDocuments


class EmbeddingClient:
    """Enqueues embedding jobs. Safe to share between threads; connects on first use.

    Args:
        redis_url: Such as `redis://:password@host:6379/0`, or `rediss://` for TLS with a checked certificate.
        mongodb_uri: Where `record=True` records jobs: the URI that the workers have. The database is the one in its
            path, else `clipqueue`.
        collection: The collection of the documents, for `record=True`.
        timeout_s: Seconds to wait for a connection and for each answer.

    Raises:
        ConfigurationError: The Redis URL cannot be read.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        mongodb_uri: str | None = None,
        collection: str = DEFAULT_COLLECTION,
        timeout_s: float = 5.0,
    ) -> None:
        self._broker = Broker(redis_url, timeout_s)
        self._mongodb_uri = mongodb_uri
        self._collection = collection
        self._timeout_s = timeout_s
        self._documents: ImageDocuments | None = None
        self._connecting = threading.Lock()

    @classmethod
    def from_env(cls) -> Self:
        """Make a client from the environment.

        Reads `REDIS_URL`, and for `record=True` `MONGODB_URI` (or `MONGO_URL`) and `CLIPQUEUE_COLLECTION`.

        Raises:
            ConfigurationError: `REDIS_URL` is not set or cannot be read.
        """
        return cls(redis_url_from_env(), mongodb_uri=mongodb_uri(), collection=collection_name())

    def enqueue(self, image_id: object, url: str, *, force: bool = False, record: bool = False) -> str:
        """Put one image on the queue and return the task's id.

        Args:
            image_id: The `_id` of the document that gets the vector: a string, a `bson.ObjectId` or
                `{"$oid": "<24 hex>"}`.
            url: An http or https URL, at most 2,048 characters.
            force: Embed again even if the document already holds this model's vector for this URL.
            record: First write into the document (made, if there is none) that the job is pending, so that
                `clipqueue sweep` queues it again if Redis loses it. Needs MongoDB and the extra `mongo`.

        Raises:
            InvalidJob: The id or the URL cannot be used. Nothing was enqueued.
            BrokerUnavailable: Redis could not be reached or refused the message.
            ConfigurationError: `record` was asked for, and the MongoDB URI or the extra `mongo` is missing.
            StoreUnavailable: MongoDB did not record the job. Nothing was enqueued.
        """
        task_id = str(uuid.uuid4())
        self._send([ImageJob.new(image_id, url, force=force)], [task_id], record=record)
        return task_id

    def enqueue_many(self, jobs: Iterable[tuple[Any, str]], *, force: bool = False, record: bool = False) -> int:
        """Put many images on the queue and return how many there were.

        Args:
            jobs: Pairs of image id and URL; read lazily, so a generator over a large collection is fine.
            force: As for `enqueue`, for all of them.
            record: As for `enqueue`, for all of them; a chunk of 500 costs two round trips to MongoDB.

        Raises:
            InvalidJob: A pair cannot be used. The pairs before it were enqueued, save for those of its chunk.
            BrokerUnavailable: Redis could not be reached; some chunks may have been enqueued.
            ConfigurationError: As for `enqueue`.
            StoreUnavailable: MongoDB did not record a chunk; the chunks before it were enqueued.
        """
        count = 0
        checked = (ImageJob.new(image_id, url, force=force) for image_id, url in jobs)
        for chunk in chunked(checked):
            self._send(chunk, None, record=record)
            count += len(chunk)
        return count

    def close(self) -> None:
        """Close the connections."""
        self._broker.close()
        if self._documents is not None:
            self._documents.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, jobs: list[ImageJob], task_ids: list[str] | None, *, record: bool) -> None:
        # The record comes first: of a job that is recorded and not queued a sweep takes care, of the reverse nobody.
        failure = "did not take the job"
        if record:
            self._recording().record(jobs)
            failure += ", which is recorded: a sweep (clipqueue sweep) will queue it"
        with self._broker.commands(failure) as redis:
            push(redis, jobs, task_ids)

    def _recording(self) -> ImageDocuments:
        with self._connecting:
            if self._documents is None:
                self._documents = self._connect()
            return self._documents

    def _connect(self) -> ImageDocuments:
        if not self._mongodb_uri:
            raise ConfigurationError(
                "record=True needs a MongoDB: set MONGODB_URI, or give EmbeddingClient a mongodb_uri that looks like "
                "mongodb://host:27017/database"
            )
        try:
            from producer.documents.documents import connect  # noqa: PLC0415  (the base install has no pymongo)
        except ImportError:
            raise ConfigurationError("record=True needs clipqueue's extra 'mongo': pip install '.[mongo]'") from None
        return connect(self._mongodb_uri, self._collection, self._timeout_s)
