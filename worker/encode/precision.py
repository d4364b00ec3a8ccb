"""Chooses the precision of the model's weights, by measuring on this machine if the settings leave it open.

The weights are cast because `torch.autocast` is several times slower in bf16 on a CPU.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from worker.encode.failures import call_on_device
from worker.encode.load import halvings
from worker.errors import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Run = Callable[[Any], NDArray[np.float32]]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_RUNS = 4  # the first one also warms up
_HOPELESS = 3.0
_LONG_S = 1.0
# Times that differ by less are the same: each start on the same machine should come to the same choice.
_NOISE = 1.1
_MIN_COSINE = 0.99
# The first NVIDIA GPUs that compute in bf16. Older ones emulate it slowly.
_BF16_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class CastModel:
    """A model in its precision.

    Attributes:
        model: The model with its weights cast.
        precision: `fp32`, `bf16` or `fp16`.
        reason: Why it has this precision, in words for the log.
    """

    model: Any
    precision: str
    reason: str


@dataclass(frozen=True)
class _Measured:
    """Two precisions of one model, on the same images.

    Attributes:
        fp32_s, half_s: Seconds of one batch, the fastest of a few runs that alternate.
        cosine: The lowest cosine similarity of an image's two vectors; NaN if a vector is not finite.
    """

    fp32_s: float
    half_s: float
    cosine: float


def cast_model(model: Any, wanted: str, device: str, prepare: Callable[[int], Run], batch_size: int) -> CastModel:
    """Cast the model's weights; for `auto`, choose between fp32 and half the bits.

    Args:
        model: The model in fp32, on its device.
        wanted: `fp32`, `bf16`, `fp16` or `auto`.
        device: Where the model is, such as `cuda:1`.
        prepare: Makes so many images, always the same ones, and returns a function that runs a model on them. On a GPU,
            making them takes longer than running the model, so it must not be measured.
        batch_size: The number of images in a batch of the worker.
    """
    if wanted != "auto":
        return CastModel(model.to(_DTYPES[wanted]), wanted, f"CLIPQUEUE_PRECISION={wanted}")
    half = half_precision(device)
    for size in halvings(batch_size):
        if cast := _choose(model, half, prepare, size, is_gpu=device.startswith("cuda")):
            return cast
    return CastModel(model, "fp32", f"there is too little memory to measure {half} beside it")


def half_precision(device: str) -> str:
    """Return the precision with half the bits that the device computes in."""
    is_old = device.startswith("cuda") and torch.cuda.get_device_capability(device) < _BF16_CAPABILITY
    return "fp16" if is_old else "bf16"


def prefers_half(fp32_s: float, half_s: float, *, is_gpu: bool) -> bool:
    """Return whether half the bits are the better choice.

    On a GPU they are, unless they are clearly slower: they also take half the memory. On a CPU, they must be clearly
    faster.
    """
    return half_s <= fp32_s * _NOISE if is_gpu else half_s * _NOISE < fp32_s


def _choose(model: Any, half: str, prepare: Callable[[int], Run], size: int, *, is_gpu: bool) -> CastModel | None:
    """Return the model in the better precision; None if the memory does not suffice for two models and this batch."""
    try:
        half_model = call_on_device(lambda: copy.deepcopy(model).to(_DTYPES[half]))
        measured = call_on_device(lambda: _measure(model, half_model, prepare(size)))
    except OutOfMemory:
        return None
    times = f"a batch of {size} takes {measured.fp32_s * 1e3:.1f} ms in fp32, {measured.half_s * 1e3:.1f} ms in {half}"
    if not _MIN_COSINE <= measured.cosine < math.inf:
        return CastModel(model, "fp32", f"measured: the vectors in {half} differ")
    if prefers_half(measured.fp32_s, measured.half_s, is_gpu=is_gpu):
        return CastModel(half_model, half, f"measured: {times}")
    return CastModel(model, "fp32", f"measured: {times}")


def _measure(fp32: Any, half: Any, run: Run) -> _Measured:
    fp32_times, half_times = [], []
    for _ in range(_RUNS):
        fp32_s, expected = _timed(run, fp32)
        half_s, vectors = _timed(run, half)
        fp32_times.append(fp32_s)
        half_times.append(half_s)
        # A CPU without instructions for bf16 takes many seconds.
        if half_s > max(_LONG_S, _HOPELESS * fp32_s):
            break
    return _Measured(min(fp32_times), min(half_times), float((expected * vectors).sum(axis=1).min()))


def _timed(run: Run, model: Any) -> tuple[float, NDArray[np.float32]]:
    start = time.perf_counter()
    vectors = run(model)
    return time.perf_counter() - start, vectors
