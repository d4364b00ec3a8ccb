"""Asks the workers for the vector of a text or a picture, and waits for the answer.

All waits of a process share one list of answers and one thread that reads it, which runs only while somebody waits.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
import uuid
import weakref
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..contract.errors import BrokerUnavailable, EmbeddingFailed, NoWorker, Overloaded, QueryTimeout
from ..contract.names import (
    ANSWERS_KEY,
    HEARTBEAT_TTL_S,
    IMAGE_SUFFIX,
    QUERIES,
    QUERY_KEY,
    QUERY_LIST_TTL_MS,
    QUERY_WORKERS,
)
from ..contract.queries import Answer, Query, read_answer, request_json
from .broker import Broker

if TYPE_CHECKING:
    from redis import Redis

logger = logging.getLogger(__name__)

# The part of the deadline after which an unanswered query is asked again: the worker that took it may have died.
_ASK_AGAIN_AFTER = 0.4
_MODELS_FOR_S = 2.0
# How long Redis waits for an answer. A connection that the network has forgotten is noticed after this and the margin.
_WAIT_S = 1.0
_WAIT_MARGIN_S = 2.0
_MAX_ANSWERS = 64
_PAUSE_S = 0.2
# A process that was frozen for longer (serverless) may have dead connections.
_TRUST_CONNECTION_S = 10.0
_ASKING_THREADS = 8


@dataclass(frozen=True)
class QueryModel:
    """A model that live workers answer queries with."""

    model: str
    dim: int
    context_length: int
    workers: int


@dataclass(frozen=True, eq=False)
class _Wait:
    """A query that waits for its answer, under one id or two."""

    query: Query
    deadline: float
    answer: Future[Answer] = field(default_factory=Future)
    ids: list[str] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        return self.deadline - time.monotonic()


class QueryClient:
    """Asks queries. Safe to share between threads and event loops, and after a fork.

    Args:
        broker: The connection that queries are asked with. It stays open when the client is closed.
        max_queued: How many queries may wait for a worker. Beyond that, a new one is refused.
    """

    def __init__(self, broker: Broker, *, max_queued: int = 256) -> None:
        self._broker = broker
        self._max_queued = max_queued
        self._is_closed = False
        self._models: tuple[float, list[QueryModel]] = (float("-inf"), [])
        self._start_anew()
        _clients.add(self)

    def models(self) -> list[QueryModel]:
        """Return the models that live workers answer queries with, as they were at most 2 s ago.

        Raises:
            BrokerUnavailable: Redis could not be reached.
        """
        return list(self._read_models(float("inf")))

    def ask(self, query: Query, timeout_s: float) -> Answer:
        """Return the answer to a query.

        Raises:
            QueryTimeout: No worker answered in time.
            NoWorker: No live worker answers queries, or none with this model.
            Overloaded: Too many queries wait already.
            EmbeddingFailed: A worker cannot embed this.
            BrokerUnavailable: Redis could not be reached, or refused the query.
        """
        wait = _Wait(query, time.monotonic() + timeout_s)
        try:
            self._ask(wait)
            try:
                return wait.answer.result(timeout_s * _ASK_AGAIN_AFTER)
            except FutureTimeout:
                self._ask_again(wait)
            return wait.answer.result(max(0.0, wait.left_s))
        except FutureTimeout:
            raise _no_answer(timeout_s) from None
        finally:
            self._forget(wait)

    async def ask_async(self, query: Query, timeout_s: float) -> Answer:
        """Return the answer to a query, as `ask` does. A task that is cancelled takes its query back."""
        wait, loop = _Wait(query, time.monotonic() + timeout_s), asyncio.get_running_loop()
        answer = asyncio.wrap_future(wait.answer)
        try:
            await loop.run_in_executor(self._threads, self._ask, wait)
            done, _ = await asyncio.wait([answer], timeout=timeout_s * _ASK_AGAIN_AFTER)
            if not done:
                await loop.run_in_executor(self._threads, self._ask_again, wait)
                done, _ = await asyncio.wait([answer], timeout=max(0.0, wait.left_s))
            if not done:
                raise _no_answer(timeout_s)
            return answer.result()
        except asyncio.CancelledError:
            with suppress(RuntimeError):  # the client is closed, and the query expires
                self._threads.submit(self._take_back, wait)
            raise
        finally:
            self._forget(wait)

    def close(self) -> None:
        """Let the thread end, which closes its connection. Queries that still wait get no answer."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start_anew(self) -> None:
        """Make everything that a forked process cannot share with its parent."""
        self._changed = threading.Condition()
        self._waiting: dict[str, _Wait] = {}
        self._is_reading = False
        self._answers_key = ANSWERS_KEY + uuid.uuid4().hex
        timeout_s = float(self._broker.url.options.get("socket_timeout", _WAIT_S + _WAIT_MARGIN_S))
        self._wait_s = min(_WAIT_S, timeout_s / 2)
        self._reader = Broker(self._broker.url, timeout_s)
        self._threads = ThreadPoolExecutor(_ASKING_THREADS, thread_name_prefix="clipqueue-ask")

    def _read_models(self, within_s: float) -> list[QueryModel]:
        read_at, models = self._models
        if time.monotonic() - read_at >= _MODELS_FOR_S:
            with self._broker.commands("did not return the models of its workers", within_s=within_s) as redis:
                models = read_query_models(redis)
            self._models = (time.monotonic(), models)
        return models

    def _ask(self, wait: _Wait) -> None:
        self._check_model(wait)
        query_id = self._expect(wait)
        with self._broker.commands("did not accept the query", within_s=max(0.0, wait.left_s)) as redis:
            length = self._push(redis, wait, query_id, "")
            if length > self._max_queued:
                _withdraw(redis, wait.query, query_id)
        if length > self._max_queued:
            raise Overloaded(f"{length - 1} queries wait already: ask later, or start more workers that answer queries")

    def _ask_again(self, wait: _Wait) -> None:
        """Ask once more under a new id, before all others. If no worker has taken the first one, it is replaced."""
        try:
            first, second = wait.ids[0], self._expect(wait)
            with self._broker.commands("did not accept the query", within_s=max(0.0, wait.left_s)) as redis:
                self._push(redis, wait, second, first)
        except BrokerUnavailable as exc:
            logger.warning("a query is not asked again: %s", exc)

    def _push(self, redis: Redis, wait: _Wait, query_id: str, replaced: str) -> int:
        """Put a query on its list and return how many are there; with `replaced`, in place of that one."""
        query, expiry_ms = wait.query, max(1, int(1e3 * wait.left_s))
        pipeline = redis.pipeline(transaction=bool(replaced))
        if replaced:
            _withdraw(pipeline, query, replaced)
        if query.content is not None:
            pipeline.set(QUERY_KEY + query_id + IMAGE_SUFFIX, query.content, px=expiry_ms)
        pipeline.set(QUERY_KEY + query_id, request_json(query_id, self._answers_key, query), px=expiry_ms)
        (pipeline.rpush if replaced else pipeline.lpush)(_list_of(query), query_id)
        pipeline.pexpire(_list_of(query), QUERY_LIST_TTL_MS)
        return int(pipeline.execute()[-2])

    def _check_model(self, wait: _Wait) -> None:
        wanted, models = wait.query.model, self._read_models(max(0.0, wait.left_s))
        if not models:
            raise NoWorker("no live worker answers queries; start one with CLIPQUEUE_SERVE=images,queries or queries")
        if wanted is not None and wanted not in {model.model for model in models}:
            names = ", ".join(model.model for model in models)
            raise NoWorker(f"no live worker answers queries with the model {wanted}; the workers run {names}")

    def _expect(self, wait: _Wait) -> str:
        """Return a new id for a query, and read answers from now on."""
        query_id = uuid.uuid4().hex
        with self._changed:
            if self._is_closed:
                raise BrokerUnavailable("the client is closed")
            if wait.answer.cancelled():
                raise BrokerUnavailable("nobody waits for the query any more")
            wait.ids.append(query_id)
            self._waiting[query_id] = wait
            if not self._is_reading:
                self._is_reading = True
                threading.Thread(target=self._read_answers, name="clipqueue-answers", daemon=True).start()
            self._changed.notify_all()
        return query_id

    def _forget(self, wait: _Wait) -> None:
        with self._changed:
            wait.answer.cancel()  # a thread that is about to ask it must not
            for query_id in wait.ids:
                self._waiting.pop(query_id, None)

    def _take_back(self, wait: _Wait) -> None:
        """Remove a query that nobody waits for any more, so that no worker computes it."""
        try:
            with self._broker.commands("did not take the query back") as redis:
                for query_id in wait.ids:
                    _withdraw(redis, wait.query, query_id)
        except BrokerUnavailable as exc:
            logger.debug("%s", exc)  # it expires

    def _read_answers(self) -> None:
        """Read answers while somebody waits. An outage of Redis ends nothing: each wait has its own deadline."""
        has_failed = False
        while self._is_wanted():
            try:
                with self._reader.commands("did not return the answers") as redis:
                    self._deliver(redis)
                has_failed = False
            except BrokerUnavailable as exc:
                if not has_failed:
                    logger.warning("%s", exc)
                has_failed = True
                time.sleep(_PAUSE_S)
            except BaseException:
                self._is_reading = False  # the next query starts another thread
                raise

    def _is_wanted(self) -> bool:
        """Wait until somebody waits for an answer. Return False after a while without, or when the client is closed."""
        idle_since = time.time()  # it runs on while the process is frozen
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed, _TRUST_CONNECTION_S)
            is_wanted = bool(self._waiting) and not self._is_closed
            if not is_wanted or time.time() - idle_since > _TRUST_CONNECTION_S:
                self._reader.close()
            self._is_reading = is_wanted
        return is_wanted

    def _deliver(self, redis: Redis) -> None:
        first: Any = redis.blpop([self._answers_key], self._wait_s)
        if first is None:
            return
        more: Any = redis.lpop(self._answers_key, _MAX_ANSWERS) if len(self._waiting) > 1 else None
        for raw in [first[1], *(more or ())]:
            self._resolve(raw)

    def _resolve(self, raw: bytes) -> None:
        try:
            query_id, answer = read_answer(raw)
        except ValueError as exc:
            logger.warning("an answer cannot be read: %s", exc)
            return
        with self._changed:
            wait = self._waiting.pop(query_id, None)
            if wait is None or wait.answer.done() or not wait.answer.set_running_or_notify_cancel():
                return
        if isinstance(answer, EmbeddingFailed):
            wait.answer.set_exception(answer)
        else:
            wait.answer.set_result(answer)


def read_query_models(redis: Redis) -> list[QueryModel]:
    """Return the models that live workers answer queries with, sorted by name. Raises what redis-py raises."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.time()
    pipeline.zrange(QUERY_WORKERS, 0, -1, withscores=True)
    (seconds, _), members = pipeline.execute()
    workers = [_read_worker(raw) for raw, beat_s in members if beat_s > seconds - HEARTBEAT_TTL_S]
    counts = Counter(worker for worker in workers if worker)
    return [QueryModel(*model, workers=count) for model, count in sorted(counts.items())]


def _read_worker(raw: bytes) -> tuple[str, int, int] | None:
    try:
        worker: Any = json.loads(raw)
        return str(worker["model"]), int(worker["dim"]), int(worker["context_length"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _list_of(query: Query) -> str:
    return QUERIES if query.model is None else f"{QUERIES}:{query.model}"


def _withdraw(redis: Redis, query: Query, query_id: str) -> None:
    redis.lrem(_list_of(query), 1, query_id)
    redis.delete(QUERY_KEY + query_id, QUERY_KEY + query_id + IMAGE_SUFFIX)


def _no_answer(timeout_s: float) -> QueryTimeout:
    return QueryTimeout(f"no worker answered the query within {timeout_s:g} s")


# A forked process has no thread that reads, and must not share its parent's locks and connections.
_clients: weakref.WeakSet[QueryClient] = weakref.WeakSet()


def _start_anew_after_fork() -> None:
    for client in list(_clients):
        client._start_anew()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew_after_fork)
