"""Waits while MongoDB is unavailable, so that no job loses its vector or a retry to the outage."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from worker.errors import DocumentDelayed, StoreRefused, StoreUnavailable
from worker.store.delayed import DelayedDocuments
from worker.telemetry.contact import Contact

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.contract.ids import ImageId
    from producer.contract.job import ImageJob
    from producer.contract.queries import Save
    from worker.lifecycle.drain import Drain
    from worker.store.mongo import Store
    from worker.store.results import Failure, JobCheck, Result

T = TypeVar("T")

logger = logging.getLogger(__name__)

# Attempts per call. A document that MongoDB keeps rejecting with a temporary error must not block a thread forever.
_TRIES = 3
_PROBE_INTERVAL_S = 1.0
_MAX_FIRST_PROBE_S = 30.0
_POLL_S = 0.5
_LOG_INTERVAL_S = 60.0


class Outage:
    """Whether MongoDB is unavailable. The rest of the process asks this object and no other. Thread-safe."""

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self._is_over.set()

    @property
    def is_active(self) -> bool:
        """Whether an outage has started and not ended."""
        return not self._is_over.is_set()

    def start(self) -> None:
        """Start the outage."""
        self._is_over.clear()

    def end(self) -> None:
        """End the outage and wake up every thread that waits for that."""
        self._is_over.set()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for the end of the outage; return whether it is over."""
        return self._is_over.wait(seconds)


class ResilientStore:
    """A `Store` whose calls wait out an outage. Thread-safe.

    `check`, `save` and `save_failure` raise StoreUnavailable if the worker starts to drain while they wait, or if
    MongoDB fails three times within one call. They raise StoreRefused if MongoDB has not written the document for some
    minutes and has written others.

    Args:
        store: The store that is called.
        outage: Active while MongoDB is unavailable. Other parts of the process read it.
        drain: Calls stop waiting when the drain starts.
        mongo: Notes when MongoDB answers.

    Attributes:
        waiting: The ids of the threads whose calls wait for MongoDB, as long as that takes.
    """

    def __init__(self, store: Store, outage: Outage, drain: Drain, mongo: Contact | None = None) -> None:
        self._store = store
        self._outage = outage
        self._drain = drain
        self._mongo = mongo or Contact()
        self.waiting: set[int] = set()
        self._delayed = DelayedDocuments()
        self._lock = threading.Lock()
        self._first_probe_s = _PROBE_INTERVAL_S
        self._logged_at = float("-inf")

    def ping(self) -> None:
        """Check MongoDB once, without waiting; an outage starts if it does not answer."""
        try:
            self._store.ping()
            self._mongo.note()
        except StoreUnavailable as exc:
            self._start_outage(exc)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def check(self, job: ImageJob, model: str) -> JobCheck:
        """Return whether the job still needs to run."""
        return self._call(job.image_id, lambda: self._store.check(job, model))

    def save(self, job: ImageJob, result: Result, attempts: int, check: JobCheck) -> bool:
        """Write a vector."""
        return self._write(job.image_id, lambda: self._store.save(job, result, attempts, check))

    def save_upload(self, save: Save, result: Result) -> bool:
        """Write the vector of an uploaded picture. Its asker waits, so an outage is not waited out."""
        return self._store.save_upload(save, result)

    def save_failure(self, failure: Failure) -> bool:
        """Write why a job failed."""
        try:
            return self._write(failure.image_id, lambda: self._store.save_failure(failure))
        except StoreRefused:
            self._delayed.forget(failure.image_id)  # nothing more is written for this job
            raise

    def _write(self, image_id: ImageId, call: Callable[[], bool]) -> bool:
        is_written = self._call(image_id, call)
        if is_written:  # otherwise it proves nothing: a MongoDB with a full disk still reads
            self._first_probe_s = _PROBE_INTERVAL_S
            self._delayed.reset(image_id)
        else:
            self._delayed.forget(image_id)
        return is_written

    def _call(self, image_id: ImageId, call: Callable[[], T]) -> T:
        tries = 0
        while True:
            tries += 1
            try:
                answer = call()
            except StoreUnavailable as exc:
                pause_s = self._delayed.add(image_id, exc) if isinstance(exc, DocumentDelayed) else None
                if tries == _TRIES or not self._wait_after(exc, pause_s):
                    raise
            else:
                self._mongo.note()
                return answer

    def _wait_after(self, exc: StoreUnavailable, pause_s: float | None) -> bool:
        """Wait before the next attempt; return False if the worker drains."""
        self.waiting.add(threading.get_ident())
        try:
            if pause_s is None:
                self._start_outage(exc)
                return self._wait_until_over()
            self._drain.sleep(pause_s)
            return not self._drain.is_draining
        finally:
            self.waiting.discard(threading.get_ident())

    def _wait_until_over(self) -> bool:
        """Wait for the end of the outage; return False if the worker drains."""
        while not self._drain.is_draining and not self._outage.wait(_POLL_S):
            pass
        return not self._drain.is_draining

    def _start_outage(self, exc: StoreUnavailable) -> None:
        with self._lock:
            if self._outage.is_active:
                return
            self._outage.start()
        threading.Thread(target=self._probe, args=(exc,), name="mongodb-probe", daemon=True).start()

    def _probe(self, exc: StoreUnavailable) -> None:
        """Ping MongoDB until it answers or the worker drains, then end the outage.

        The delay before the first ping doubles with each outage, up to a limit, and a successful write resets it: a
        MongoDB with a full disk answers pings and refuses every write.
        """
        start, delay_s = time.monotonic(), self._first_probe_s
        self._first_probe_s = min(2 * delay_s, _MAX_FIRST_PROBE_S)
        try:
            self._log("MongoDB unavailable; consumption paused: %s", exc)
            self._drain.sleep(delay_s)
            has_answered = False
            while not self._drain.is_draining and not (has_answered := self._answers()):
                self._log("MongoDB still unavailable after %.0f s", time.monotonic() - start)
                self._drain.sleep(_PROBE_INTERVAL_S)
            if has_answered and delay_s == _PROBE_INTERVAL_S:
                # A warning, because whoever sees only warnings must see the end of the outage too.
                logger.warning(
                    "MongoDB is available again after %.0f s; consumption continues", time.monotonic() - start
                )
        finally:
            self._outage.end()

    def _answers(self) -> bool:
        try:
            self._store.ping()
        except StoreUnavailable:
            return False
        self._mongo.note()
        return True

    def _log(self, *line: object) -> None:
        """Log a warning, at most once a minute."""
        if time.monotonic() - self._logged_at >= _LOG_INTERVAL_S:
            self._logged_at = time.monotonic()
            logger.warning(*line)
