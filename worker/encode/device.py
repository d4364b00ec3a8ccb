"""Chooses the device, the precision and the CPU threads that the model runs with."""

from __future__ import annotations

import copy
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from worker.encode.cpus import usable_cpus
from worker.errors import ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

MEASURED_BATCH = 4
"""The number of images in the batch with which the precisions are timed."""

_MEASURED_RUNS = 2
_MAX_CPU_THREADS = 4


def choose_device(wanted: str) -> str:
    """Return `wanted`; for `auto`, a GPU if PyTorch can use one, else `cpu`."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def move_to_device(model: Any, device: str) -> Any:
    """Move the model to a device.

    Raises:
        ModelUnavailable: This machine or this build of PyTorch does not have the device.
    """
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as exc:
        raise ModelUnavailable(
            f"CLIPQUEUE_DEVICE={device} cannot be used on this machine: {exc}. Set it to auto or cpu."
        ) from exc


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


def cast_model(model: Any, wanted: str, run_batch: Callable[[Any], object]) -> CastModel:
    """Cast the model's weights; for `auto`, measure fp32 and bf16 on this machine and keep the faster one.

    The weights are cast because `torch.autocast` is several times slower in bf16 on a CPU.

    Args:
        model: The model in fp32, on its device.
        wanted: `fp32`, `bf16`, `fp16` or `auto`.
        run_batch: Runs MEASURED_BATCH images through the model that it is given, and waits for the result.
    """
    if wanted != "auto":
        return CastModel(model.to(_DTYPES[wanted]), wanted, f"CLIPQUEUE_PRECISION={wanted}")
    fp32_s = _measure_s(run_batch, model)
    bf16_model = copy.deepcopy(model).to(torch.bfloat16)
    bf16_s = _measure_s(run_batch, bf16_model)
    reason = f"measured: a batch of {MEASURED_BATCH} takes {fp32_s * 1e3:.1f} ms in fp32, {bf16_s * 1e3:.1f} ms in bf16"
    return CastModel(model, "fp32", reason) if fp32_s <= bf16_s else CastModel(bf16_model, "bf16", reason)


def _measure_s(run_batch: Callable[[Any], object], model: Any) -> float:
    """Return the seconds that one batch takes: the fastest of a few runs, after one to warm up."""
    run_batch(model)
    runs = []
    for _ in range(_MEASURED_RUNS):
        start = time.perf_counter()
        run_batch(model)
        runs.append(time.perf_counter() - start)
    return min(runs)


def choose_threads(device: str) -> int:
    """Return how many batches to encode at the same time.

    On a CPU, PyTorch threads that share one batch wait for each other after every layer, even more so when other
    processes want the cores too. Separate batches keep the cores busy. With more than a few threads, each batch would
    be too small.
    """
    return min(usable_cpus(), _MAX_CPU_THREADS) if device == "cpu" else 1


class CpuShares:
    """Divides the CPU cores among the calls that run at the same time.

    A call that runs alone gets all cores, so that an idle worker answers a single image as fast as it can.

    Args:
        device: Where the model runs. On a GPU nothing is divided.
        threads: How many threads make calls; 0 lets `choose_threads` decide; None means one caller, and leaves
            PyTorch's thread count unchanged.

    Attributes:
        threads: How many threads may make calls.
        cores_each: CPU cores of one call while others run.
    """

    def __init__(self, device: str, threads: int | None) -> None:
        self.threads = 1 if threads is None else threads or choose_threads(device)
        self._cores = usable_cpus()
        self.cores_each = max(1, self._cores // self.threads)
        self._is_active = device == "cpu" and threads is not None
        self._lock, self._running = threading.Lock(), 0
        if self._is_active:
            torch.set_num_threads(self.cores_each)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Set PyTorch's thread count for one call from this thread."""
        with self._lock:
            self._running += 1
            is_alone = self._running == 1
        try:
            if self._is_active:
                torch.set_num_threads(self._cores if is_alone else self.cores_each)  # applies to this thread only
            yield
        finally:
            with self._lock:
                self._running -= 1
