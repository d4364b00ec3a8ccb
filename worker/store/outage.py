"""Waits while MongoDB is away, so that no job pays for it: what is in flight keeps its vector, nothing new is taken."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from worker.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.contract.job import ImageJob
    from worker.lifecycle.drain import Drain
    from worker.store.mongo import Store
    from worker.store.results import Failure, JobCheck, Result

T = TypeVar("T")

logger = logging.getLogger(__name__)

# Of one call: a document that MongoDB cannot write today must not hold a thread for ever.
_TRIES = 3
_PROBE_S = 1.0
_LONGEST_PROBE_S = 30.0
_MOST_DOUBLINGS = 10
_LOOK_S = 0.5
_SAY_AGAIN_S = 60.0


class ResilientStore:
    """A `Store` whose calls wait until MongoDB is back; safe to share between threads.

    Args:
        store: What is asked.
        drain: When it begins, calls wait no longer.

    Its methods raise StoreUnavailable if the worker is to stop meanwhile, or if MongoDB fails three times in between.
    """

    def __init__(self, store: Store, drain: Drain) -> None:
        self._store = store
        self._drain = drain
        self._lock = threading.Lock()
        self._back = threading.Event()
        self._back.set()
        self._failures = 0  # since the last write
        self._said = -_SAY_AGAIN_S

    @property
    def is_away(self) -> bool:
        """Whether MongoDB did not answer when it was last asked."""
        return not self._back.is_set()

    def ping(self) -> None:
        """Find out how it stands, and go on without waiting for it."""
        try:
            self._store.ping()
        except StoreUnavailable as exc:
            self._note_absence(exc)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def check(self, job: ImageJob, model: str) -> JobCheck:
        """Return whether the job still needs doing."""
        return self._ask(lambda: self._store.check(job, model))

    def save(self, job: ImageJob, result: Result, attempts: int, check: JobCheck) -> None:
        """Write a vector."""
        self._ask(lambda: self._store.save(job, result, attempts, check))
        self._failures = 0

    def save_failure(self, failure: Failure) -> None:
        """Write why a job failed."""
        self._ask(lambda: self._store.save_failure(failure))
        self._failures = 0

    def _ask(self, call: Callable[[], T]) -> T:
        for _ in range(_TRIES - 1):
            try:
                return call()
            except StoreUnavailable as exc:
                if not self._wait_until_back(exc):
                    raise
        return call()

    def _wait_until_back(self, exc: StoreUnavailable) -> bool:
        """Return False if the worker is to stop."""
        self._note_absence(exc)
        while not self._drain.has_begun and not self._back.wait(_LOOK_S):
            pass
        return not self._drain.has_begun

    def _note_absence(self, exc: StoreUnavailable) -> None:
        with self._lock:
            if self.is_away:
                return
            self._back.clear()
            self._failures += 1
        threading.Thread(target=self._probe, args=(exc,), name="patience", daemon=True).start()

    def _probe(self, exc: StoreUnavailable) -> None:
        """Look until MongoDB answers; more and more slowly where it answers and then refuses every write."""
        began = time.monotonic()
        try:
            self._say("no message is taken and no retry spent until MongoDB is back: %s", exc)
            self._drain.pause(min(_PROBE_S * 2.0 ** min(self._failures - 1, _MOST_DOUBLINGS), _LONGEST_PROBE_S))
            while not self._drain.has_begun and not self._answers():
                self._say("MongoDB has been away for %.0f s", time.monotonic() - began)
                self._drain.pause(_PROBE_S)
            if self._failures == 1:
                logger.warning("MongoDB answers again after %.0f s", time.monotonic() - began)
        finally:
            self._back.set()

    def _answers(self) -> bool:
        try:
            self._store.ping()
        except StoreUnavailable:
            return False
        return True

    def _say(self, *line: object) -> None:
        """Log, but only once a minute."""
        if time.monotonic() - self._said >= _SAY_AGAIN_S:
            self._said = time.monotonic()
            logger.warning(*line)
