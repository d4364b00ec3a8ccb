"""The encoder chooses where and how the model runs, and the same choice gives the same vectors."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from worker.encode.open_clip import EncoderConfig, OpenClipEncoder, _best_threads, _fault
from worker.errors import EncoderBroken, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_auto_precision_measures_and_takes_one_of_the_two() -> None:
    encoder = OpenClipEncoder(EncoderConfig("ViT-S-32-alt", "untrained"))
    assert encoder.precision in ("fp32", "bf16")
    assert encoder.dim == 256
    assert encoder.device in ("cpu", "cuda", "mps")


def test_untrained_is_seeded(caplog: pytest.LogCaptureFixture) -> None:
    """The same vectors at every start, and a warning each time."""
    batch = np.full((1, 224, 224, 3), 100, np.uint8)
    choice = EncoderConfig("ViT-S-32-alt", "untrained", "cpu", "fp32")
    vectors = [OpenClipEncoder(choice).encode(batch) for _ in range(2)]
    assert np.array_equal(vectors[0], vectors[1])
    assert caplog.text.count("CLIP_PRETRAINED=untrained") == 2


def test_what_pytorch_says_of_too_little_memory_is_told_apart() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert isinstance(_fault(refused.value), OutOfMemory)
    assert isinstance(_fault(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")), OutOfMemory)
    assert isinstance(_fault(MemoryError()), OutOfMemory)


def test_an_error_of_the_device_is_the_end_of_this_process_alone_not_of_the_image() -> None:
    lost = RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`")
    assert isinstance(_fault(lost), EncoderBroken)
    assert _fault(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")) is None


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """An encoder for several threads sets how many PyTorch has in each."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("torch_threads")
def test_batches_at_the_same_time_give_the_vectors_of_one_after_the_other() -> None:
    encoder = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32", threads=2))
    shape = (4, encoder.spec.height, encoder.spec.width, 3)
    batches = [np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8) for seed in range(24)]
    expected = [encoder.encode(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(encoder.encode, batches))
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("torch_threads")
def test_a_lone_batch_has_all_processors_and_others_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.encode.open_clip.usable_cpus", lambda: 4)
    encoder = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32", threads=0))
    assert encoder.threads == 4
    encoder = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32", threads=2))
    first_runs, first_ends = threading.Event(), threading.Event()
    had: list[int] = []

    def forward(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        had.append(torch.get_num_threads())
        if len(had) == 1:
            first_runs.set()
            assert first_ends.wait(10)
        return np.zeros((len(pixels), 1), np.float32)

    monkeypatch.setattr(encoder, "_forward", forward)
    batch = np.zeros((1, 1, 1, 3), np.uint8)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(encoder.encode, batch)
        assert first_runs.wait(10)
        encoder.encode(batch)
        first_ends.set()
        first.result()
    encoder.encode(batch)
    assert had == [4, 2, 4]


def test_on_a_gpu_one_batch_runs_at_a_time() -> None:
    assert _best_threads("cuda") == 1
