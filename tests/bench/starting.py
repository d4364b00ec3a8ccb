"""From the start of a worker process to its first message, against loading the model alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.bench.rows import in_turn, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_ROUNDS = 3
_WORKER = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
_LOAD = """
import os, open_clip
open_clip.create_model_and_transforms(os.environ["CLIP_MODEL"], os.environ["CLIP_PRETRAINED"])
"""


def rows(bench: Bench) -> Iterator[Row]:
    """Measure with a message that is already on the queue."""
    url = bench.photos_at((640, 480))

    def ours() -> float:
        bench.client.enqueue(f"start-{time.monotonic_ns()}", f"{url}/1/photo.jpg")
        start = time.perf_counter()
        process = bench.stack.start("worker", _WORKER, env={**bench.stack.environment(), **bench.model})
        while bench.queued():
            time.sleep(0.005)
        took_s = time.perf_counter() - start
        bench.wait_until_idle()
        bench.stack.stop_one(process)
        return took_s

    def theirs() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", _LOAD], env={**os.environ, **bench.model}, check=True)
        return time.perf_counter() - start

    theirs()
    yield row(
        "a worker's start until it takes a message / loading the model alone", "s", in_turn(_ROUNDS, ours, theirs)
    )
