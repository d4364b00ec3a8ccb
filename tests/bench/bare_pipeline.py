"""`python -m tests.bench.bare_pipeline`: the worker's own pipeline, without Celery and Redis.

For each line of input (a URL and a number of images) it embeds so many, as many at once as a worker has in flight, and
answers with a JSON object of seconds.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from producer.contract.job import ImageJob
from tests.bench.lines import answer
from worker.lifecycle.state import ProcessState
from worker.settings import load_settings
from worker.wiring import build_runtime


def main() -> None:
    """Build what a worker builds, and answer until the input ends."""
    settings = load_settings()
    runtime = build_runtime(settings, ProcessState(settings.drain_s), "bare-pipeline")
    answer()
    with ThreadPoolExecutor(runtime.concurrency) as pool:
        for line in sys.stdin:
            base_url, count = line.split()
            run = time.monotonic_ns()
            start = time.perf_counter()
            jobs = (ImageJob.new(f"bare-{run}-{n}", f"{base_url}/{n}/photo.jpg") for n in range(int(count)))
            list(pool.map(lambda job: runtime.pipeline.run(job, 1), jobs))
            answer(wall_s=time.perf_counter() - start)
    runtime.batcher.close()
    runtime.decoder.close()
    runtime.store.close()


if __name__ == "__main__":
    main()
