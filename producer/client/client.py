"""The client that a backend imports. It pushes jobs on Redis and returns at once, and asks workers for single vectors.

It never imports Celery, and it imports pymongo only when a job is recorded: a cold start must stay fast.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

from ..contract.errors import ConfigurationError
from ..contract.job import ImageJob
from ..contract.names import DEFAULT_COLLECTION
from ..contract.redis_options import TIMEOUTS
from ..contract.redis_url import parse_redis_url
from ..contract.trace import checked_trace
from .broker import Broker
from .environment import collection_name, mongodb_uri, redis_url_from_env
from .queue import chunked, push
from .tracing import current_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from ..contract.queries import Query
    from ..contract.trace import Trace
    from ..documents.recording import JobRecorder
    from .queries import QueryClient

# A web request waits for it.
_TIMEOUT_S = 2.0
_BULK = 5  # a chunk is about 1 MB
_MONGODB_TIMEOUT_S = 5.0


class EmbeddingClient:
    """Enqueues embedding jobs. It connects on first use and is safe to share between threads.

    Args:
        redis_url: `redis://:password@host:6379/0`, or `rediss://` for TLS with certificate verification. The page
            `docs/deployment.md` lists the other forms: Unix sockets, Sentinel and options.
        mongodb_uri: The workers' MongoDB URI; only `record=True` needs it. The database is the one in the URI's path,
            by default `clipqueue`.
        collection: The collection of the documents; only `record=True` needs it.
        timeout_s: The most seconds that `enqueue` waits for Redis: to connect, for all answers, and for one retry,
            together. By default 2, or the longest timeout in the URL if that is longer. A single wait is at most half
            of it, unless the URL says otherwise. Each chunk of `enqueue_many` has five times as long. Not included: the
            system's name lookup, and MongoDB with `record=True`, which has 5 s (or `timeout_s`) to be found and 10 s
            for each answer, unless its URI says otherwise.

    Raises:
        ConfigurationError: The Redis URL cannot be read, or asks for what is not supported.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        mongodb_uri: str | None = None,
        collection: str = DEFAULT_COLLECTION,
        timeout_s: float | None = None,
    ) -> None:
        url = parse_redis_url(redis_url)
        self._mongodb_timeout_s = timeout_s or _MONGODB_TIMEOUT_S
        self._timeout_s = timeout_s or max(_TIMEOUT_S, *(url.options.get(name, 0.0) for name in TIMEOUTS))
        self._broker = Broker(url, self._timeout_s / 2)
        self._bulk_broker = Broker(url, _BULK * self._timeout_s / 2)
        self._mongodb_uri = mongodb_uri
        self._collection = collection
        self._recorder: JobRecorder | None = None
        self._queries: QueryClient | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_env(cls) -> Self:
        """Return a client with the settings of the environment.

        Reads `REDIS_URL`; and for `record=True`, `MONGODB_URI` (or `MONGO_URL`) and `CLIPQUEUE_COLLECTION`.

        Raises:
            ConfigurationError: `REDIS_URL` is not set or cannot be read.
        """
        return cls(redis_url_from_env(), mongodb_uri=mongodb_uri(), collection=collection_name())

    def enqueue(
        self,
        image_id: object,
        url: str,
        *,
        force: bool = False,
        record: bool = False,
        trace: Mapping[str, str] | None = None,
    ) -> str:
        """Enqueue one image and return the task's id.

        Args:
            image_id: The `_id` of the document that gets the vector: a string, an integer, a `uuid.UUID`, a
                `bson.ObjectId`, or extended JSON such as `{"$oid": "<24 hex>"}`.
            url: An http or https URL, at most 8,192 characters.
            force: Embed again even if the document already has this model's vector for this URL.
            record: Before the job is enqueued, record it as pending in the document, which is created if it does not
                exist. If Redis loses the job, `clipqueue sweep` finds the record and enqueues the job again. Needs
                MongoDB and the extra `mongo`.
            trace: The headers of the trace that the job belongs to: `traceparent`, `tracestate`, `sentry-trace`,
                `baggage`. By default those of the current span, if OpenTelemetry or Sentry traces the program.

        Raises:
            InvalidJob: The id, the URL or the trace cannot be used. Nothing was enqueued.
            BrokerUnavailable: Redis could not be reached or refused the message.
            ConfigurationError: `record` is true, but a MongoDB setting or the extra `mongo` is missing or unusable.
            StoreUnavailable: MongoDB did not record the job. Nothing was enqueued.
        """
        job = ImageJob.new(image_id, url, force=force, trace=_trace(trace))
        self._send([job], record=record, bulk=False)
        return str(job.task_id)

    def enqueue_many(
        self,
        jobs: Iterable[tuple[Any, str]],
        *,
        force: bool = False,
        record: bool = False,
        trace: Mapping[str, str] | None = None,
    ) -> int:
        """Enqueue many images, in chunks of at most 500, and return how many.

        Args:
            jobs: Pairs of image id and URL. They are read lazily, so a generator over a large collection is fine. If
                several pairs have the same id, the last one wins.
            force: As for `enqueue`, for all jobs.
            record: As for `enqueue`, for all jobs. Each chunk costs two round trips to MongoDB.
            trace: As for `enqueue`, for all jobs.

        Raises:
            InvalidJob: The id or the URL of a pair cannot be used. Earlier chunks were enqueued, its own chunk was not.
            BrokerUnavailable: Redis could not be reached or refused a chunk. Earlier chunks were enqueued.
            ConfigurationError: As for `enqueue`.
            StoreUnavailable: MongoDB did not record a chunk. Earlier chunks were enqueued.
        """
        count, one = 0, _trace(trace)
        checked = (ImageJob.new(image_id, url, force=force, trace=one) for image_id, url in jobs)
        for chunk in chunked(checked):
            self._send(chunk, record=record, bulk=True)
            count += len(chunk)
        return count

    def embed_text(self, text: str, *, timeout_s: float = 2.0, model: str | None = None) -> list[float]:
        """Return the unit vector of a search text from a worker that answers queries.

        Args:
            text: At most 8,192 characters. What is beyond the model's context is not embedded.
            timeout_s: How long to wait for the answer, in seconds.
            model: The model that must answer; by default any worker answers.

        Raises:
            InvalidJob: The text cannot be embedded.
            NoWorker: No live worker answers queries, or none with this model.
            Overloaded: Too many queries wait already.
            QueryTimeout: No worker answered in time.
            EmbeddingFailed: The model failed on this text.
            BrokerUnavailable: Redis could not be reached or refused the query.
        """
        return self._connected_queries().ask(_text(text, model), timeout_s).floats()

    def embed_image(self, image: str | bytes, *, timeout_s: float = 15.0, model: str | None = None) -> list[float]:
        """Return the unit vector of a picture from a worker that answers queries. Nothing is saved.

        Args:
            image: The picture's URL, or the bytes of its file, at most 8 MiB.
            timeout_s: As for `embed_text`.
            model: As for `embed_text`.

        Raises:
            InvalidJob: The URL or the bytes cannot be used.
            EmbeddingFailed: The picture cannot be downloaded, decoded or embedded; `code` says why, as for a job.
            NoWorker, Overloaded, QueryTimeout, BrokerUnavailable: As for `embed_text`.
        """
        return self._connected_queries().ask(_image(image, model), timeout_s).floats()

    def close(self) -> None:
        """Close the connections."""
        if self._queries is not None:
            self._queries.close()
        self._broker.close()
        self._bulk_broker.close()
        if self._recorder is not None:
            self._recorder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, jobs: list[ImageJob], *, record: bool, bulk: bool) -> None:
        # Record first: if the push fails, a sweep finds the record. A job that was pushed but not recorded could not be
        # found if Redis lost it.
        note = ""
        if record:
            self._connected_recorder().record(jobs)
            note = " (the job is recorded; clipqueue sweep will enqueue it)"
        broker, within_s = (self._bulk_broker, _BULK * self._timeout_s) if bulk else (self._broker, self._timeout_s)
        with broker.commands("did not accept the job", note, within_s=within_s) as redis:
            push(redis, jobs)

    def _connected_queries(self) -> QueryClient:
        with self._lock:
            if self._queries is None:
                from .queries import QueryClient  # noqa: PLC0415  (a program that only enqueues does not need it)

                self._queries = QueryClient(self._broker)
            return self._queries

    def _connected_recorder(self) -> JobRecorder:
        with self._lock:
            if self._recorder is None:
                self._recorder = self._connect()
            return self._recorder

    def _connect(self) -> JobRecorder:
        if not self._mongodb_uri:
            raise ConfigurationError(
                "record=True needs MongoDB: set MONGODB_URI, or pass mongodb_uri to EmbeddingClient; expected format: "
                "mongodb://user:password@host:27017/database"
            )
        try:
            from ..documents.recording import JobRecorder  # noqa: PLC0415  (the base install has no pymongo)
        except ImportError:
            raise ConfigurationError("record=True needs clipqueue's extra 'mongo': pip install '.[mongo]'") from None
        return JobRecorder.connect(self._mongodb_uri, self._collection, self._mongodb_timeout_s)


class AsyncEmbeddingClient:
    """The client for programs with an event loop. It may be used from several loops.

    The arguments are those of `EmbeddingClient`, and so are the errors of all methods.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        mongodb_uri: str | None = None,
        collection: str = DEFAULT_COLLECTION,
        timeout_s: float | None = None,
    ) -> None:
        self._client = EmbeddingClient(redis_url, mongodb_uri=mongodb_uri, collection=collection, timeout_s=timeout_s)

    @classmethod
    def from_env(cls) -> Self:
        """Return a client with the settings of the environment, as `EmbeddingClient.from_env` does."""
        return cls(redis_url_from_env(), mongodb_uri=mongodb_uri(), collection=collection_name())

    # `to_thread` runs the call in the context of this one, so the current span is the same.
    async def enqueue(
        self,
        image_id: object,
        url: str,
        *,
        force: bool = False,
        record: bool = False,
        trace: Mapping[str, str] | None = None,
    ) -> str:
        """Enqueue one image and return the task's id."""
        return await asyncio.to_thread(self._client.enqueue, image_id, url, force=force, record=record, trace=trace)

    async def enqueue_many(
        self,
        jobs: Iterable[tuple[Any, str]],
        *,
        force: bool = False,
        record: bool = False,
        trace: Mapping[str, str] | None = None,
    ) -> int:
        """Enqueue many images, in chunks of at most 500, and return how many. A thread iterates over `jobs`."""
        return await asyncio.to_thread(self._client.enqueue_many, jobs, force=force, record=record, trace=trace)

    async def embed_text(self, text: str, *, timeout_s: float = 2.0, model: str | None = None) -> list[float]:
        """Return the unit vector of a search text."""
        answer = await self._client._connected_queries().ask_async(_text(text, model), timeout_s)  # noqa: SLF001
        return answer.floats()

    async def embed_image(
        self, image: str | bytes, *, timeout_s: float = 15.0, model: str | None = None
    ) -> list[float]:
        """Return the unit vector of a picture."""
        answer = await self._client._connected_queries().ask_async(_image(image, model), timeout_s)  # noqa: SLF001
        return answer.floats()

    async def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


def _trace(given: Mapping[str, str] | None) -> Trace:
    return current_trace() if given is None else checked_trace(given)


def _text(text: str, model: str | None) -> Query:
    from ..contract.queries import Query  # noqa: PLC0415  (as above)

    return Query.text(text, model)


def _image(image: str | bytes, model: str | None) -> Query:
    from ..contract.queries import Query  # noqa: PLC0415  (as above)

    return Query.image_url(image, model) if isinstance(image, str) else Query.image_bytes(image, model)
