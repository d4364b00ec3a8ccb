"""PyTorch's errors, by the very messages of its backends: too little memory for a batch, a lost device, or neither."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.support.waiting import wait_for
from worker.encode.batcher import Batcher, _Request
from worker.encode.failures import call_on_device, classify
from worker.errors import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

NO_MEMORY = [
    RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GiB, max allowed: 9.07 GiB)"),
    RuntimeError("Invalid buffer size: 9.75 GB"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("HIP error: out of memory\nHIP kernel errors might be reported later"),
    RuntimeError("HIP error: hipErrorOutOfMemory"),
    RuntimeError("CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"),
    RuntimeError("CUDA error: rocblas_status_memory_error when calling `rocblas_create_handle(handle)`"),
    RuntimeError("miopenStatusAllocFailed"),
    RuntimeError("XPU out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 15.91 GiB."),
    RuntimeError("level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    RuntimeError("UR backend failed. UR backend returns:40 (UR_RESULT_ERROR_OUT_OF_RESOURCES)"),
    RuntimeError("Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES)"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 1152921504606846976 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    torch.OutOfMemoryError("HIP out of memory. Tried to allocate 2.00 MiB."),
]
BROKEN = [
    RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: unspecified launch failure\nthe device may be out of memory"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: too many resources requested for launch"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
    RuntimeError("CUDA driver error: device not ready"),
    RuntimeError("HIP error: no kernel image is available for execution on the device"),
    RuntimeError("level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)"),
]
NEITHER = [
    RuntimeError("The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1"),
    RuntimeError("expected scalar type Half but found Float"),
]


class Encoder:
    """Raises `error` if a batch has more than `limit` images, through the code that every real encoder uses."""

    def __init__(self, error: Exception, limit: int) -> None:
        self.error, self.limit = error, limit
        self.sizes: list[int] = []
        self.requests: list[_Request] = []

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return call_on_device(lambda: self._forward(pixels))

    def _forward(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.sizes.append(len(pixels))
        if len(pixels) > self.limit:
            raise self.error
        return np.ones((len(pixels), 2), np.float32)


BatcherOf = Callable[[Encoder], Batcher]


def shown(error: BaseException) -> str:
    return f"{type(error).__name__}-{error}"[:70]


@pytest.fixture
def batcher_of() -> Iterator[Callable[[Encoder], Batcher]]:
    """A function that returns a batcher to which eight images were given at once."""
    batchers: list[Batcher] = []

    def make(encoder: Encoder) -> Batcher:
        batcher = Batcher(encoder, max_batch_size=8, max_waiting=8, timeout_s=10)
        batchers.append(batcher)
        encoder.requests = [_Request(np.zeros((1, 1, 3), np.uint8)) for _ in range(8)]
        with batcher._changed:
            batcher._waiting.extend(encoder.requests)
            batcher._changed.notify_all()
        return batcher

    yield make
    for batcher in batchers:
        batcher.close()


@pytest.mark.parametrize("error", NO_MEMORY, ids=shown)
def test_a_batch_without_enough_memory_is_halved_and_the_process_lives(error: Exception, batcher_of: BatcherOf) -> None:
    encoder = Encoder(error, limit=2)
    batcher = batcher_of(encoder)
    assert all(len(request.future.result(60).vector) == 2 for request in encoder.requests)
    assert encoder.sizes == [8, 4, 2, 2, 4, 2, 2]
    assert batcher._batch_size.current == 2
    assert not batcher.is_broken


@pytest.mark.parametrize("error", BROKEN, ids=shown)
def test_any_other_error_of_the_device_ends_the_process(error: Exception, batcher_of: BatcherOf) -> None:
    """The watchdog sees that the batcher is broken. Redis then gives the jobs to another worker."""
    encoder = Encoder(error, limit=0)
    batcher = batcher_of(encoder)
    wait_for(lambda: batcher.is_broken, "the batcher to be broken")
    assert encoder.sizes == [8], "a lost device is not tried again"
    assert not any(request.future.done() for request in encoder.requests)


@pytest.mark.parametrize("error", NEITHER, ids=shown)
def test_an_error_that_says_nothing_about_the_device_is_left_alone(error: RuntimeError, batcher_of: BatcherOf) -> None:
    assert classify(error) is None
    encoder = Encoder(error, limit=1)
    batcher = batcher_of(encoder)
    assert all(len(request.future.result(60).vector) == 2 for request in encoder.requests)
    assert encoder.sizes == [8, *[1] * 8], "the images are tried one by one"
    assert batcher._batch_size.current == 8
    assert not batcher.is_broken


def test_an_allocation_that_pytorch_really_refuses_is_recognised() -> None:
    with pytest.raises(OutOfMemory, match=r"(allocate|enough) memory"):
        call_on_device(lambda: torch.empty(1 << 60, dtype=torch.uint8))


def test_the_error_keeps_no_tensor_of_the_batch_alive() -> None:
    """Half of the batch follows at once, and needs the memory."""
    refs = []

    def forward() -> None:
        images = torch.zeros(1000)
        refs.append(weakref.ref(images))
        raise RuntimeError("CUDA error: out of memory")

    with pytest.raises(OutOfMemory) as caught:
        call_on_device(forward)
    wait_for(lambda: refs[0]() is None, "the tensor to be freed")
    assert caught.value.__context__ is None
