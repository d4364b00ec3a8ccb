"""Runs searches in threads, with the vectors of texts and pictures that were asked for before."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Self

import anyio
from anyio.to_thread import run_sync

from producer.api.failures import ApiError, as_api_error
from producer.api.inputs import IMAGE, TEXT, query_of_bytes, query_of_string
from producer.contract.errors import ClipqueueError
from producer.search.search import ImageSearch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.api.vectors import Vectors
    from producer.contract.queries import Answer, Query
    from producer.search.query import DuplicateGroup, Duplicates, SearchPage, SearchQuery
    from producer.search.settings import SearchSettings

_THREADS = 8
_MAX_DUPLICATES_S = 60.0
_answers: ContextVar[Mapping[str | bytes, Answer]] = ContextVar("answers")


class _Answered:
    """The `Embed` of a search: all vectors were asked for before the search got its thread."""

    def embed_text(self, text: str, model: str | None) -> Answer:  # noqa: ARG002
        return _answers.get()[text]

    def embed_image(self, image: str | bytes, model: str | None) -> Answer:  # noqa: ARG002
        return _answers.get()[image]


class Searching:
    """Searches the images, and finds near-duplicates.

    Args:
        search: Searches by vectors.
        vectors: Embeds texts and pictures.
    """

    def __init__(self, search: ImageSearch, vectors: Vectors) -> None:
        self._search = search
        self._vectors = vectors
        self._threads = anyio.CapacityLimiter(_THREADS)
        self._is_comparing = False

    @classmethod
    def connect(cls, mongodb_uri: str, collection: str, vectors: Vectors, settings: SearchSettings) -> Self:
        """Return one that connects on first use. Raises ConfigurationError."""
        return cls(ImageSearch.connect(mongodb_uri, collection, _Answered(), settings), vectors)

    async def search(self, query: SearchQuery, model: str) -> SearchPage:
        """Return a page of hits.

        Args:
            query: What to search for, without a model.
            model: The name of the model in the request.

        Raises:
            ApiError: There is no result.
        """
        started = time.monotonic()
        wanted = _embedded_parts(query)
        model_id = await self._vectors.find_model(model) if wanted else self._vectors.stored_model(model)
        queries = [_query_of(part, kind, param, model_id or "") for part, kind, param in wanted]
        answers = await self._vectors.ask_all(queries)
        embed_ms = round(1e3 * (time.monotonic() - started))
        _answers.set({part: answer for (part, *_), answer in zip(wanted, answers, strict=True)})
        page = await self._in_thread(replace(query, model=model_id))
        return replace(page, took_ms={**page.took_ms, "embed": embed_ms})

    async def duplicates(self, wanted: Duplicates, limit: int) -> Found:
        """Return at most `limit` groups of near-duplicates, those that were found within a minute.

        Raises:
            ApiError: The groups cannot be found, or another request looks for them.
        """
        if self._is_comparing:
            raise ApiError(429, "busy", "another request compares all images: try again later", retry_after_s=10)
        self._is_comparing = True
        comparison = _Comparison(self._search, wanted, limit)
        running = asyncio.ensure_future(run_sync(comparison.run, limiter=self._threads))
        running.add_done_callback(self._note_compared)
        try:
            return await asyncio.shield(running)
        except ClipqueueError as exc:
            raise as_api_error(exc) from None
        finally:
            comparison.stop()

    def close(self) -> None:
        """Close the connections."""
        self._search.close()

    def _note_compared(self, running: asyncio.Future[Found]) -> None:
        """Let another request compare, now that the thread has ended, and not as soon as its client has left."""
        self._is_comparing = False
        if not running.cancelled():
            running.exception()  # nobody else may ask for it

    async def _in_thread(self, query: SearchQuery) -> SearchPage:
        try:
            return await run_sync(self._search.search, query, limiter=self._threads)
        except ClipqueueError as exc:
            raise as_api_error(exc) from None


@dataclass(frozen=True)
class Found:
    """Groups of near-duplicates, and whether they are all."""

    groups: list[DuplicateGroup]
    is_complete: bool


class _Stopped(Exception):
    """The comparison took too long, or nobody waits for it."""


class _Comparison:
    """Compares all images, until there are enough groups or the time is over."""

    def __init__(self, search: ImageSearch, wanted: Duplicates, limit: int) -> None:
        self._search = search
        self._wanted = wanted
        self._limit = limit
        self._deadline = time.monotonic() + _MAX_DUPLICATES_S
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        self._is_stopped.set()

    def run(self) -> Found:
        groups: list[DuplicateGroup] = []
        try:
            for group in islice(self._search.duplicates(self._wanted, self._check), self._limit + 1):
                groups.append(group)
                self._check()
        except _Stopped:
            return Found(groups[: self._limit], is_complete=False)
        return Found(groups[: self._limit], is_complete=len(groups) <= self._limit)

    def _check(self, *_: int) -> None:
        if self._is_stopped.is_set() or time.monotonic() > self._deadline:
            raise _Stopped


def _embedded_parts(query: SearchQuery) -> list[tuple[str | bytes, str, str]]:
    """Return what a worker must embed: the text or image, which of both it is, and its name in errors."""
    texts = [(query.text, "text")] if query.text is not None else []
    texts += [(text, f"not[{number}]") for number, text in enumerate(query.not_text)]
    images = [(query.image, IMAGE, "image")] if query.image is not None else []
    return [*((text, TEXT, param) for text, param in texts), *images]


def _query_of(part: str | bytes, kind: str, param: str, model: str) -> tuple[str, Query]:
    if isinstance(part, bytes):
        return param, query_of_bytes(part, model, param)
    return param, query_of_string(part, kind, model, param)
