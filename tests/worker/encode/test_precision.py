"""`auto` compares two precisions by time, by their vectors, and by the memory that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from worker.encode.precision import cast_model, half_precision, prefers_half
from worker.errors import OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@pytest.mark.parametrize(
    ("fp32_s", "half_s", "on_cpu", "on_gpu"),
    [(1.0, 0.5, True, True), (1.0, 0.95, False, True), (1.0, 1.05, False, True), (1.0, 1.2, False, False)],
)
def test_noise_does_not_decide(fp32_s: float, half_s: float, *, on_cpu: bool, on_gpu: bool) -> None:
    """Where the times are about the same, each start comes to the same choice."""
    assert prefers_half(fp32_s, half_s, is_gpu=False) is on_cpu
    assert prefers_half(fp32_s, half_s, is_gpu=True) is on_gpu


@pytest.mark.parametrize(
    ("device", "capability", "half"),
    [("cpu", None, "bf16"), ("mps", None, "bf16"), ("cuda", (7, 5), "fp16"), ("cuda:1", (8, 0), "bf16")],
)
def test_an_old_gpu_computes_in_fp16(
    device: str, capability: tuple[int, int] | None, half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert half_precision(device) == half


class Runs:
    """Runs a model of one layer. By the clock of this class, an image takes 1 s in fp32 and `half_s` in bf16.

    To make the images takes 100 s, as it takes longer than to run a model on a GPU.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, limit: int = 1000, vector: float = 1.0, half_s: float = 0.1
    ) -> None:
        self.sizes: list[int] = []
        self._now_s, self._limit, self._vector, self._half_s = 0.0, limit, vector, half_s
        monkeypatch.setattr("worker.encode.precision.time.perf_counter", lambda: self._now_s)

    def __call__(self, size: int) -> Callable[[Any], NDArray[np.float32]]:
        self._now_s += 100.0
        return lambda model: self._run(model, size)

    def _run(self, model: Any, size: int) -> NDArray[np.float32]:
        self.sizes.append(size)
        if size > self._limit:
            raise RuntimeError("CUDA error: out of memory")
        is_half = next(model.parameters()).dtype != torch.float32
        self._now_s += size * (self._half_s if is_half else 1.0)
        vector = self._vector if is_half else 1.0
        return np.tile(np.array([[vector, 0.0]], np.float32), (size, 1))


def test_the_faster_precision_is_chosen_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch)
    cast = cast_model(torch.nn.Linear(2, 2), "auto", "cpu", runs, 16)
    assert (cast.precision, next(cast.model.parameters()).dtype) == ("bf16", torch.bfloat16)
    assert cast.reason == "measured: a batch of 16 takes 16000.0 ms in fp32, 1600.0 ms in bf16"
    assert runs.sizes == [16] * 8, "four times in each precision"


def test_a_precision_that_is_many_times_slower_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of a worker waits for it."""
    runs = Runs(monkeypatch, half_s=6.0)
    cast = cast_model(torch.nn.Linear(2, 2), "auto", "cpu", runs, 16)
    assert cast.precision == "fp32"
    assert runs.sizes == [16] * 2


@pytest.mark.parametrize("vector", [0.9, np.nan, np.inf])
def test_a_precision_with_other_vectors_is_not_chosen(vector: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some models overflow in fp16."""
    cast = cast_model(torch.nn.Linear(2, 2), "auto", "cpu", Runs(monkeypatch, vector=vector), 4)
    assert (cast.precision, cast.reason) == ("fp32", "measured: the vectors in bf16 differ")


def test_with_little_memory_a_smaller_batch_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(monkeypatch, limit=5)
    cast = cast_model(torch.nn.Linear(2, 2), "auto", "cpu", runs, 16)
    assert (cast.precision, "a batch of 4 takes" in cast.reason) == ("bf16", True)
    cast = cast_model(torch.nn.Linear(2, 2), "auto", "cpu", Runs(monkeypatch, limit=0), 16)
    assert (cast.precision, cast.reason) == ("fp32", "there is too little memory to measure bf16 beside it")


def test_a_given_precision_is_not_measured() -> None:
    def prepare(_: int) -> Callable[[Any], NDArray[np.float32]]:
        raise OutOfMemory

    cast = cast_model(torch.nn.Linear(2, 2), "fp16", "cpu", prepare, 16)
    assert (cast.precision, next(cast.model.parameters()).dtype) == ("fp16", torch.float16)
