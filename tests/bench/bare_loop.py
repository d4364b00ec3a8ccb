"""`python -m tests.bench.bare_loop HOW`: the model alone, fed with ready pixels in batches of 16.

For each line of input (a number of images) it answers with a JSON object: seconds by the clock and of the processor.
`plain` is the loop that anybody would write, with PyTorch's own threads inside; `threads` has as many as a worker.
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


def main(how: str) -> None:
    """Load the model that the environment names, as a worker does, and answer until the input ends."""
    settings = load_settings()
    choice = EncoderConfig.of(settings)
    encoder = OpenClipEncoder(choice if how == "threads" else replace(choice, threads=None))
    encoder.warm_up(BATCH)
    shape = (BATCH, encoder.spec.height, encoder.spec.width, 3)
    batches = [np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8) for seed in range(4)]
    answer(precision=encoder.precision)
    with ThreadPoolExecutor(encoder.threads) as pool:
        # Not in another thread if one suffices: OpenMP would have threads for both, and let them sleep sooner.
        run = map if encoder.threads == 1 else pool.map
        for line in sys.stdin:
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in run(lambda number: encoder.encode(batches[number % len(batches)]), range(int(line) // BATCH)):
                pass
            answer(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)


if __name__ == "__main__":
    main(sys.argv[1])
