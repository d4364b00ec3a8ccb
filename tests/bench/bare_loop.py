"""`python -m tests.bench.bare_loop plain|threads`: only forward passes, on pixels in memory, in batches of 16.

Each line of input is a number of images; the answer is a JSON object with seconds of wall time and of CPU time.
`plain` runs one forward pass at a time with PyTorch's own threads. `threads` runs as many at once as a worker does.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from tests.bench.lines import answer
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.settings import load_settings

BATCH = 16


def main(mode: str) -> None:
    """Load the model that the settings name, as a worker does, and answer until the input ends."""
    settings = load_settings()
    config = EncoderConfig.of(settings)
    encoder = OpenClipEncoder(config if mode == "threads" else replace(config, threads=None))
    shape = (BATCH, encoder.spec.height, encoder.spec.width, 3)
    batches = [np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8) for seed in range(4)]
    encoder.encode(batches[0])
    answer(precision=encoder.precision)
    with ThreadPoolExecutor(encoder.threads) as pool:
        # With one thread, in the main thread: OpenMP would otherwise have threads for both, which sleep sooner.
        run = map if encoder.threads == 1 else pool.map
        for line in sys.stdin:
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in run(lambda number: encoder.encode(batches[number % len(batches)]), range(int(line) // BATCH)):
                pass
            answer(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)


if __name__ == "__main__":
    main(sys.argv[1])
