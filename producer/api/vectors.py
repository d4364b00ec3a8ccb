"""Asks workers for vectors. Texts that were asked lately are remembered, and equal questions at once are asked once."""

from __future__ import annotations

import asyncio
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from producer.api.failures import ApiError, as_api_error
from producer.contract.errors import BrokerUnavailable, ClipqueueError, NoWorker, QueryTimeout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.api.model_names import ModelNames
    from producer.client.queries import QueryModel
    from producer.contract.queries import Answer, Query

TEXT_S, IMAGE_S = 5.0, 15.0
_REMEMBERED = 4096
_POLL_S = 0.5
_MODELS_S = 1.0
# A request shares a question that is given up at most so much sooner than the request itself.
_SOONER_S = 2.0

_TextKey = tuple[str | None, bool, str]


class Asking(Protocol):
    """The part of a QueryClient that the API uses."""

    def models(self) -> list[QueryModel]:
        """Return the models of the live workers."""
        ...

    async def ask_async(self, query: Query, timeout_s: float) -> Answer:
        """Return the answer to a query."""
        ...


class Vectors:
    """Vectors of texts and images, from the live workers.

    Args:
        queries: Asks the workers.
        names: Finds the model that a name means.
    """

    def __init__(self, queries: Asking, names: ModelNames) -> None:
        self._queries = queries
        self._names = names
        self._remembered: OrderedDict[_TextKey, Answer] = OrderedDict()
        self._asked: dict[_TextKey, _Shared] = {}
        self._reading = asyncio.Lock()
        self._live_models: list[QueryModel] | ClipqueueError = []
        self._live_until = 0.0

    async def models(self) -> list[QueryModel]:
        """Return the models of the live workers, as of the last second.

        Raises:
            BrokerUnavailable: Redis was away in the last second.
        """
        async with self._reading:  # so that one thread waits while Redis is away, and not one for each request
            if asyncio.get_running_loop().time() >= self._live_until:
                self._live_models = await asyncio.to_thread(self._read_models)
                self._live_until = asyncio.get_running_loop().time() + _MODELS_S
        if isinstance(self._live_models, ClipqueueError):
            raise self._live_models
        return self._live_models

    async def find_model(self, name: str, *, hold_s: float = 0.0) -> str:
        """Return the id of the model that a name means.

        Args:
            name: The name in the request.
            hold_s: How long to wait for a first worker, or for Redis.

        Raises:
            ApiError: No live worker has it, there is no live worker, or Redis is away.
        """
        return self._names.find(name, [one.model for one in await self._live(hold_s)])

    def stored_model(self, name: str) -> str | None:
        """Return the id of the model whose stored vectors a name means; None for those of any model."""
        return self._names.stored(name)

    async def ask_all(self, queries: Sequence[tuple[str, Query]], timeout_s: float | None = None) -> list[Answer]:
        """Return the answers to queries, in order, or raise the first error and give up the others.

        Args:
            queries: Each query with what an error calls it.
            timeout_s: For each; by default 5 s for a text and 15 s for an image.

        Raises:
            ApiError: A query has no vector.
        """
        tasks = [asyncio.ensure_future(self._ask(query, param, timeout_s)) for param, query in queries]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    def _read_models(self) -> list[QueryModel] | ClipqueueError:
        try:
            return self._queries.models()
        except ClipqueueError as exc:
            return exc

    async def _live(self, hold_s: float) -> list[QueryModel]:
        deadline = asyncio.get_running_loop().time() + hold_s
        while True:
            try:
                live = await self.models()
            except BrokerUnavailable as exc:
                live, error = [], as_api_error(exc)
            else:
                error = as_api_error(NoWorker("no live worker answers queries: start one"))
            if live:
                return live
            if asyncio.get_running_loop().time() + _POLL_S > deadline:
                raise error
            await asyncio.sleep(_POLL_S)

    async def _ask(self, query: Query, param: str, timeout_s: float | None) -> Answer:
        try:
            if query.words is None:
                return await self._queries.ask_async(query, timeout_s or IMAGE_S)
            return await self._ask_text(query, timeout_s or TEXT_S)
        except ClipqueueError as exc:
            raise as_api_error(exc, param) from None

    async def _ask_text(self, query: Query, timeout_s: float) -> Answer:
        words = " ".join(unicodedata.normalize("NFC", query.words or "").split())
        key = (query.model, query.truncate, words)
        if answer := self._remembered.get(key):
            self._remembered.move_to_end(key)
            return answer
        shared, until = self._asked.get(key), asyncio.get_running_loop().time() + timeout_s
        if shared is None or shared.until < until - _SOONER_S:
            asking = self._queries.ask_async(replace(query, words=words), timeout_s)
            shared = self._asked[key] = _Shared(asyncio.ensure_future(asking), until)
        shared.waiting += 1
        try:
            answer = await asyncio.wait_for(asyncio.shield(shared.task), timeout_s)
        except TimeoutError:
            raise QueryTimeout(f"no worker answered the query within {timeout_s:g} s") from None
        finally:
            shared.waiting -= 1
            if shared.task.done() or not shared.waiting:
                shared.task.cancel()
                if self._asked.get(key) is shared:
                    del self._asked[key]
        self._remember(key, answer)
        return answer

    def _remember(self, key: _TextKey, answer: Answer) -> None:
        self._remembered[key] = answer
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)


@dataclass
class _Shared:
    """One question that several requests wait for. It is given up when the last of them is.

    Attributes:
        task: Asks a worker.
        until: When it gives up by itself, by the clock of the loop.
        waiting: How many requests wait.
    """

    task: asyncio.Task[Answer]
    until: float
    waiting: int = 0


def check_dim(wanted: int | None, answers: Sequence[Answer]) -> None:
    """Raise ApiError if a request asks for another length than the model's."""
    for answer in answers:
        if wanted not in {None, 0, answer.dim}:
            message = f"vectors of {answer.model} have {answer.dim} dimensions and cannot be shortened"
            raise ApiError(400, "dimensions_unsupported", message, param="dimensions")
