"""The encoder on a GPU against the same forward pass in plain PyTorch, and several workers on one GPU."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import open_clip
import torch

from tests.bench.rows import in_turn, row
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.bench import Bench
    from tests.bench.rows import Row

_BATCHES = (1, 8, 32, 128)
_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
_SECONDS = 1.0
_ROUNDS = 3
_WORKERS = 2
_IMAGES = 1_500


def rows(bench: Bench) -> Iterator[Row]:
    """Measure images/s; return no rows without a GPU."""
    if not torch.cuda.is_available():
        return
    yield from _encoder(bench)
    yield _workers_on_one_gpu(bench)


def _encoder(bench: Bench) -> Iterator[Row]:
    weights = bench.model["CLIP_MODEL"], bench.model["CLIP_PRETRAINED"]
    for precision, dtype in _DTYPES.items():
        encoder = OpenClipEncoder(EncoderConfig(*weights, "cuda", precision))
        plain = open_clip.create_model(*weights, device="cuda").eval().to(dtype)
        for batch in _BATCHES:
            pixels = np.random.default_rng(batch).integers(0, 255, (batch, 224, 224, 3), dtype=np.uint8)
            ready = torch.rand(batch, 3, 224, 224, device="cuda", dtype=dtype)

            def forward(ready: torch.Tensor = ready, plain: torch.nn.Module = plain) -> None:
                with torch.inference_mode():
                    plain.encode_image(ready)  # type: ignore[operator]
                torch.cuda.synchronize()

            def ours(pixels: np.ndarray = pixels, encoder: OpenClipEncoder = encoder) -> None:
                encoder.encode(pixels)

            pairs = in_turn(_ROUNDS, lambda: _per_s(ours, batch), lambda: _per_s(forward, batch))  # noqa: B023
            name = torch.cuda.get_device_name()
            yield row(f"encoder, {name}, {precision}, batch {batch} / plain forward on the GPU", "images/s", pairs)


def _per_s(call: Callable[[], None], batch: int) -> float:
    call()
    start, count = time.perf_counter(), 0
    while (took_s := time.perf_counter() - start) < _SECONDS:
        call()
        count += batch
    return count / took_s


def _workers_on_one_gpu(bench: Bench) -> Row:
    url = bench.photos_at((640, 480))

    def images_per_s() -> float:
        bench.run_jobs(url, _IMAGES // 4)
        return _IMAGES / bench.run_jobs(url, _IMAGES)

    pairs = []
    for _ in range(_ROUNDS):
        with ExitStack() as workers:
            workers.enter_context(bench.worker(bench.model))
            one = images_per_s()
            for number in range(1, _WORKERS):
                workers.enter_context(bench.worker(bench.model, f"worker-{number}"))
            pairs.append((images_per_s(), one))
    return row(f"{_WORKERS} worker processes on one GPU / one, 640x480 JPEGs end to end", "images/s", pairs)
