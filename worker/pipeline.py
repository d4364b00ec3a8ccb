"""Takes one image from URL to vector, stage by stage. It never retries; `worker.tasks` retries the job."""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.contract.urls import redact_url
from worker.errors import JobError
from worker.store.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.contract.job import ImageJob
    from worker.decode.pillow import Decoder
    from worker.encode.batcher import Batcher
    from worker.fetch.fetcher import Fetcher
    from worker.lifecycle.drain import Drain
    from worker.store.mongo import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageLimits:
    """Maximum seconds of each stage. During a drain, a stage starts only if it can end in time; no download starts."""

    decode_s: float
    encode_s: float
    store_s: float


@dataclass(frozen=True)
class Pipeline:
    """Fetch, decode, embed, save. Thread-safe.

    Attributes:
        model: The model's id, stored with each vector.
        drain: Checked before each stage.
        limits: How long each stage may take.
    """

    fetcher: Fetcher
    decoder: Decoder
    batcher: Batcher
    store: Store
    model: str
    drain: Drain
    limits: StageLimits

    def run(self, job: ImageJob, attempts: int) -> bool:
        """Embed one image and write its vector to MongoDB.

        Returns:
            Whether the document now has the job's vector. It has not if a later job is recorded, or if there is no
            document and none may be created.

        Raises:
            PermanentError, TransientError, Requeue: See `worker.errors`.
        """
        clock = _StageClock()
        try:
            is_stored, outcome = self._run(job, attempts, clock)
        except JobError as exc:
            logger.warning("job=%s error after %s: %s", job.image_id, clock, exc)
            raise
        logger.info("job=%s %s %s url=%s", job.image_id, outcome, clock, redact_url(job.url))
        return is_stored

    def _run(self, job: ImageJob, attempts: int, clock: _StageClock) -> tuple[bool, str]:
        self.drain.raise_if_draining()
        with clock.stage("check"):
            check = self.store.check(job, self.model)
        if check.verdict != "needed":
            return check.verdict == "current", f"skipped ({check.verdict})"
        self.drain.raise_if_draining()
        with clock.stage("fetch"):
            content = self.fetcher.fetch(job.url)
        self.drain.raise_if_no_time_for(self.limits.decode_s)
        with clock.stage("decode"):
            image = self.decoder.decode(content)
        self.drain.raise_if_no_time_for(self.limits.encode_s)
        with clock.stage("encode"):
            embedded = self.batcher.embed(image.pixels)
        self.drain.raise_if_no_time_for(self.limits.store_s)
        with clock.stage("save"):
            digest = hashlib.sha256(content).hexdigest()
            result = Result(embedded.vector, self.model, digest, image.width, image.height, image.format)
            is_stored = self.store.save(job, result, attempts, check)
        return is_stored, f"done batch={embedded.batch_size}"


class _StageClock:
    """Measures each stage in milliseconds, for the job's log line."""

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
