"""Takes one image from URL to vector, stage by stage. It never retries; `worker.tasks` retries the job."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.store.results import Result

if TYPE_CHECKING:
    from producer.contract.job import ImageJob
    from worker.decode.pillow import Decoder
    from worker.encode.batcher import Batcher
    from worker.fetch.fetcher import Fetcher
    from worker.lifecycle.drain import Drain
    from worker.store.mongo import Store
    from worker.telemetry.stages import StageTimes


@dataclass(frozen=True)
class StageLimits:
    """Maximum seconds of each stage. During a drain, a stage starts only if it can end in time; no download starts."""

    decode_s: float
    encode_s: float
    store_s: float


@dataclass(frozen=True)
class Ran:
    """How a job ran to its end.

    Attributes:
        verdict: The store's answer to whether it had to run: `worker.store.results.JobCheck`.
        is_stored: Whether the document now has the job's vector. It has not if a later job is recorded, or if there is
            no document and none may be created.
        batch_size: The size of the batch that the vector was computed in; 0 if none was needed.
    """

    verdict: str
    is_stored: bool
    batch_size: int = 0


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

    def run(self, job: ImageJob, attempts: int, times: StageTimes) -> Ran:
        """Embed one image and write its vector to MongoDB.

        Args:
            job: The job.
            attempts: The number of this attempt.
            times: Measures the stages, also of a job that fails.

        Raises:
            PermanentError, TransientError, Requeue: See `worker.errors`.
        """
        self.drain.raise_if_draining()
        with times.stage("check"):
            check = self.store.check(job, self.model)
        if check.verdict != "needed":
            return Ran(check.verdict, check.verdict == "current")
        self.drain.raise_if_draining()
        with times.stage("fetch"):
            content = self.fetcher.fetch(job.url)
        self.drain.raise_if_no_time_for(self.limits.decode_s)
        with times.stage("decode"):
            image = self.decoder.decode(content)
        self.drain.raise_if_no_time_for(self.limits.encode_s)
        with times.stage("encode"):
            embedded = self.batcher.embed(image.pixels)
        self.drain.raise_if_no_time_for(self.limits.store_s)
        with times.stage("save"):
            digest = hashlib.sha256(content).hexdigest()
            result = Result(embedded.vector, self.model, digest, image.width, image.height, image.format)
            is_stored = self.store.save(job, result, attempts, check)
        return Ran(check.verdict, is_stored, embedded.batch_size)
