"""One image from URL to vector, as a straight line. Contains no retry: that is policy, and lives at the task."""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from producer.contract import redact_url
from worker.errors import JobError
from worker.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.contract import ImageJob
    from worker.batcher import Batcher
    from worker.decoder import Decoder
    from worker.fetcher import Fetcher
    from worker.store import Store

logger = logging.getLogger(__name__)


class Pipeline:
    """Fetch, decode, embed, save. Safe to share between threads.

    Args:
        model: The name under which vectors are stored.
    """

    def __init__(self, *, fetcher: Fetcher, decoder: Decoder, batcher: Batcher, store: Store, model: str) -> None:
        self._fetcher = fetcher
        self._decoder = decoder
        self._batcher = batcher
        self._store = store
        self._model = model

    def run(self, job: ImageJob, attempts: int) -> None:
        """Embed one image and write its vector.

        Raises:
            PermanentError, TransientError, HandBack: See `worker.errors`.
        """
        clock = _StageClock()
        try:
            outcome = self._run(job, attempts, clock)
        except JobError as exc:
            logger.warning("job=%s stopped at %s: %s", job.image_id, clock, exc)
            raise
        logger.info("job=%s %s %s url=%s", job.image_id, outcome, clock, redact_url(job.url))

    def _run(self, job: ImageJob, attempts: int, clock: _StageClock) -> str:
        with clock.stage("check"):
            standing = self._store.standing(job, self._model)
        if standing.verdict != "needed":
            return f"skipped ({standing.verdict})"
        with clock.stage("fetch"):
            content = self._fetcher.fetch(job.url)
        with clock.stage("decode"):
            image = self._decoder.decode(content)
        with clock.stage("encode"):
            embedded = self._batcher.embed(image.pixels)
        with clock.stage("save"):
            digest = hashlib.sha256(content).hexdigest()
            result = Result(embedded.vector, self._model, digest, image.width, image.height, image.format)
            self._store.save(job, result, attempts, standing)
        return f"done batch={embedded.batch_size}"


class _StageClock:
    """Milliseconds by stage, for one log line."""

    def __init__(self) -> None:
        self._stages: list[tuple[str, float]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stages.append((name, (time.perf_counter() - start) * 1e3))

    def __str__(self) -> str:
        return " ".join(f"{name}={ms:.1f}ms" for name, ms in self._stages)
