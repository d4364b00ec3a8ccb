"""`python -m tests.bench.bare_text plain|cut`: tokenises and embeds one text after the other, without a queue.

Each line of input is a text; the answer is a JSON object with the seconds that it took. `plain` is open_clip's own
forward pass of the full length, `cut` the worker's, which ends at the end token.
"""

from __future__ import annotations

import sys
import time

from tests.bench.lines import answer
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.settings import load_settings


def main(mode: str) -> None:
    """Load the model that the settings name, as a worker does, and answer until the input ends."""
    encoder = OpenClipEncoder(EncoderConfig.of(load_settings(), "text"))
    tower = encoder.texts
    answer(precision=encoder.precision)
    for line in sys.stdin:
        text, start = line.strip(), time.perf_counter()
        if mode == "cut":
            tower.encode([tower.tokenize(text)])
        else:
            encoder.encode_texts([text])
        answer(wall_s=time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1])
