"""`python -m tests.bench.bare_pipeline`: the worker's pipeline without Celery and Redis.

Each line of input is a URL and a number of images, which it embeds with as many in flight as in a worker. The answer is
a JSON object with seconds of wall time.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from producer.contract.job import ImageJob
from tests.bench.lines import answer
from worker.lifecycle.state import ProcessState
from worker.settings import load_settings
from worker.telemetry.stages import StageTimes
from worker.wiring import build_runtime


def main() -> None:
    """Build a worker's runtime, and answer until the input ends."""
    settings = load_settings()
    runtime = build_runtime(settings, ProcessState(settings.drain_s), "bare-pipeline")
    answer()
    with ThreadPoolExecutor(runtime.concurrency) as pool:
        for line in sys.stdin:
            base_url, count = line.split()
            run = time.monotonic_ns()
            start = time.perf_counter()
            jobs = (ImageJob.new(f"bare-{run}-{n}", f"{base_url}/{n}/photo.jpg") for n in range(int(count)))
            list(pool.map(lambda job: runtime.pipeline.run(job, 1, StageTimes()), jobs))
            answer(wall_s=time.perf_counter() - start)
    runtime.batcher.close()
    runtime.decoder.close()
    runtime.store.close()


if __name__ == "__main__":
    main()
