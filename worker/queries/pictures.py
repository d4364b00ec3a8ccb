"""Embeds the pictures of queries in a few threads: fetch, decode, embed before all jobs, and save on request."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.contract.errors import BrokerUnavailable
from producer.contract.queries import Answer, ImageFacts
from producer.contract.urls import redact_url
from worker.errors import JobError, Requeue, StoreUnavailable
from worker.queries.replies import packed, with_answer, with_code, with_error, with_unexpected
from worker.store.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from producer.contract.queries import Request, Save
    from worker.decode.pillow import Decoder
    from worker.encode.batcher import Batcher
    from worker.fetch.fetcher import Fetcher
    from worker.queries.inbox import Inbox, Taken
    from worker.queries.replies import Reply
    from worker.store.mongo import Store

logger = logging.getLogger(__name__)

_THREADS = 6
# Before another attempt where all download slots of a host, or all decoding processes, are busy.
_PAUSE_S = 0.05


class _GivenUp(Exception):
    """The asker has given up."""


@dataclass(frozen=True)
class PictureStages:
    """What embeds a picture: the same parts as for a job.

    Attributes:
        prepare: Loads what the first picture needs; called before each.
    """

    fetcher: Fetcher
    decoder: Decoder
    batcher: Batcher
    store: Store
    prepare: Callable[[], object]


class PictureAnswers:
    """Answers pictures in threads of its own.

    Args:
        inbox: Where the answers go.
        stages: What embeds a picture.
        model: The model's name.
    """

    def __init__(self, inbox: Inbox, stages: PictureStages, model: str) -> None:
        self._inbox = inbox
        self._stages = stages
        self._model = model
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="query-picture")
        self._lock = threading.Lock()
        self._running: set[Future[None]] = set()
        self._taken: dict[str, Taken] = {}  # those that a thread works on, without those that wait for the model

    @property
    def late(self) -> list[str]:
        """The ids of the pictures that are still being embedded although their askers have given up."""
        return [taken.id for taken in self._taken.copy().values() if taken.left_s <= 0]

    def start(self, taken: Taken, request: Request) -> None:
        """Answer a picture in another thread."""
        future = self._threads.submit(self._answer, taken, request)
        with self._lock:
            self._running.add(future)
        future.add_done_callback(self._forget)

    def close(self, timeout_s: float) -> None:
        """Wait for the pictures that were started, and then drop the others."""
        with self._lock:
            running = set(self._running)
        wait(running, timeout_s)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _forget(self, future: Future[None]) -> None:
        with self._lock:
            self._running.discard(future)

    def _answer(self, taken: Taken, request: Request) -> None:
        self._taken[taken.id] = taken
        try:
            if reply := self._reply(taken, request):
                self._inbox.answer([(taken, reply)])
        except BrokerUnavailable as exc:
            logger.warning("query=%s is not answered: %s", request.id, exc)
        finally:
            self._taken.pop(taken.id, None)

    def _reply(self, taken: Taken, request: Request) -> Reply | None:
        try:
            return self._embed(taken, request)
        except _GivenUp:
            logger.info("query=%s dropped: its asker has given up", request.id)
            self._inbox.drop(taken, request.query.kind, "late")
            return None
        except JobError as exc:
            return with_error(request, exc)
        except StoreUnavailable as exc:
            return with_code(request, "store_unavailable", "save", str(exc))
        except BrokerUnavailable:
            raise
        except Exception as exc:  # noqa: BLE001  (the asker must learn of it)
            return with_unexpected(request, exc)

    def _embed(self, taken: Taken, request: Request) -> Reply:
        start, stages, query = time.perf_counter(), self._stages, request.query
        if query.url is None:
            content = self._uploaded(taken)
        else:
            content = _retry_while_busy(taken, lambda: stages.fetcher.fetch(query.url or ""))
        self._taken.pop(taken.id, None)  # loading the model may take minutes
        stages.prepare()
        self._taken[taken.id] = taken
        image = _retry_while_busy(taken, lambda: stages.decoder.decode(content))
        _check_in_time(taken)
        vector = stages.batcher.embed(image.pixels, first=True).vector
        facts = ImageFacts(hashlib.sha256(content).hexdigest(), image.width, image.height, image.format)
        saved = self._save(query.save, Result(vector, self._model, **vars(facts))) if query.save else None
        took_ms, url = round(1e3 * (time.perf_counter() - start), 1), redact_url(query.url or "") or "(uploaded)"
        said = {"query": request.id, "total_ms": took_ms, "url": url}
        logger.info("query=%s picture %.1fms url=%s", *said.values(), extra=said)
        return with_answer(request, Answer(self._model, len(vector), 0, packed(vector), image=facts, saved=saved))

    def _uploaded(self, taken: Taken) -> bytes:
        content = self._inbox.take_picture(taken.id)
        if content is None:
            raise _GivenUp
        return content

    def _save(self, save: Save, result: Result) -> Literal["done", "superseded"]:
        return "done" if self._stages.store.save_upload(save, result) else "superseded"


def _check_in_time(taken: Taken) -> None:
    if taken.left_s <= 0:
        raise _GivenUp


def _retry_while_busy(taken: Taken, stage: Callable[[], Any]) -> Any:
    """Call a stage until it is not too busy."""
    while True:
        _check_in_time(taken)
        try:
            return stage()
        except Requeue:
            time.sleep(_PAUSE_S)
