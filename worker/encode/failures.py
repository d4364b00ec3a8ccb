"""Tells the errors of PyTorch apart: too little memory for this batch, a device that is lost, or something else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import torch

from worker.errors import EncoderBroken, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Most of these errors are plain RuntimeErrors, so only their texts tell them apart. Memory comes first, because "CUDA
# error: out of memory" leaves the process's CUDA context intact, while any other "CUDA error" stays with it.
_NO_MEMORY = re.compile(
    # Allocators and drivers of CUDA, HIP, MPS and XPU, such as UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY.
    r"out[ _]of[ _](device[ _]|host[ _])?(memory|resources)|outofmemory"
    # Libraries: CUBLAS_STATUS_ALLOC_FAILED, the same of cuDNN, cuSOLVER and hipBLAS, miopenStatusAllocFailed.
    r"|alloc(ation)?_?failed|rocblas_status_memory_error"
    # The allocator of the CPU, in its words on Linux and on Windows, and that of C++.
    r"|(can't|cannot|could not|unable to|failed to) allocate|not enough memory|bad_alloc"
    # An Apple GPU refuses a buffer above its limit with "Invalid buffer size: 9.75 GB".
    r"|invalid buffer size",
    re.IGNORECASE,
)
_BROKEN = re.compile(r"(CUDA|HIP|XPU)( driver)? error|device[ _]lost", re.IGNORECASE)


def call_on_device(function: Callable[[], T]) -> T:
    """Call a function that uses the model, and return its result.

    Raises:
        OutOfMemory: The device, or the machine, has too little memory for this call. A smaller batch may fit.
        EncoderBroken: This process can no longer use the device.
    """
    try:
        return function()
    except (RuntimeError, MemoryError) as exc:
        error = classify(exc)
        if error is None:
            raise
    # Outside `except`: PyTorch's error holds on to the tensors, and would also be the context of this one.
    if isinstance(error, OutOfMemory):
        _release_cached_memory()
    raise error


def classify(exc: RuntimeError | MemoryError) -> OutOfMemory | EncoderBroken | None:
    """Return what an error of PyTorch means for the batcher; None if it says nothing about the device."""
    reason = str(exc).partition("\n")[0]
    if isinstance(exc, MemoryError | torch.OutOfMemoryError) or _NO_MEMORY.search(reason):
        return OutOfMemory(reason)
    return EncoderBroken(reason) if _BROKEN.search(reason) else None


def _release_cached_memory() -> None:
    """Give the memory that PyTorch keeps for later tensors back to the device, where other processes may need it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
