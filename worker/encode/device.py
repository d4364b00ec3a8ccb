"""Chooses the device and the CPU threads that the model runs with."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch

from worker.encode.cpus import usable_cpus
from worker.errors import ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_CPU_THREADS = 4
_RUNS = 4  # the first one also warms up
# Measured here in a tight loop, two cores are a little faster for a text than one. A text that comes alone first has to
# wake the other thread, which cost half as much again as the text: 59 ms instead of 40.
_CLEARLY = 2.0


def choose_device(wanted: str) -> str:
    """Return `wanted`; for `auto`, a GPU if PyTorch can use one, else `cpu`.

    Raises:
        ModelUnavailable: This machine or this build of PyTorch does not have the device.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as exc:
        count = torch.cuda.device_count()
        known = f" PyTorch finds {count} CUDA devices, the last is cuda:{count - 1}." if count else ""
        reason = str(exc).partition("\n")[0].removesuffix(".")
        raise ModelUnavailable(
            f"CLIPQUEUE_DEVICE={wanted} cannot be used on this machine: {reason}.{known} Set it to auto or cpu."
        ) from exc
    return wanted


@contextmanager
def current_device(device: str) -> Iterator[None]:
    """Make a CUDA device the one that pinned memory and kernels of this thread belong to.

    PyTorch would otherwise also occupy memory of `cuda:0`.
    """
    with torch.cuda.device(device) if device.startswith("cuda") else nullcontext():
        yield


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
        self._cores_alone = self._cores
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

    @contextmanager
    def take_rest(self) -> Iterator[None]:
        """Set PyTorch's thread count for a text: one while images are encoded, else the number that was faster.

        A text is short, so the calls that `take` counts need not make room for it.
        """
        if self._is_active:
            torch.set_num_threads(1 if self._running else self._cores_alone)
        yield

    def choose_rest(self, run: Callable[[], object]) -> None:
        """Measure a text with one core and with all, and choose all only if they take at most half the time.

        On a busy machine, threads that share a text wait for each other.

        Args:
            run: Encodes a text, without `take_rest`.
        """
        if not self._is_active or self._cores == 1:
            return
        times = {}
        for cores in (1, self._cores):
            torch.set_num_threads(cores)
            times[cores] = _fastest_s(run)
        self._cores_alone = self._cores if times[self._cores] * _CLEARLY < times[1] else 1


def _fastest_s(run: Callable[[], object]) -> float:
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
