"""The encoder chooses device, precision and threads, and gives the same vectors each time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from worker.encode.device import choose_threads
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder, _classify
from worker.errors import EncoderBroken, ModelUnavailable, OutOfMemory

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_auto_precision_measures_and_chooses_fp32_or_bf16() -> None:
    encoder = OpenClipEncoder(EncoderConfig("ViT-S-32-alt", "untrained"))
    assert encoder.precision in ("fp32", "bf16")
    assert encoder.dim == 256
    assert encoder.device in ("cpu", "cuda", "mps")


def test_untrained_weights_are_seeded(caplog: pytest.LogCaptureFixture) -> None:
    """Every start gives the same vectors, and logs a warning."""
    batch = np.full((1, 224, 224, 3), 100, np.uint8)
    choice = EncoderConfig("ViT-S-32-alt", "untrained", "cpu", "fp32")
    vectors = [OpenClipEncoder(choice).encode(batch) for _ in range(2)]
    assert np.array_equal(vectors[0], vectors[1])
    assert caplog.text.count("CLIP_PRETRAINED=untrained") == 2


def test_pytorchs_out_of_memory_errors_are_recognised() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert isinstance(_classify(refused.value), OutOfMemory)
    assert isinstance(
        _classify(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")), OutOfMemory
    )
    assert isinstance(_classify(MemoryError()), OutOfMemory)


def test_a_cuda_error_means_that_the_encoder_is_broken() -> None:
    lost = RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with `TORCH_USE_CUDA_DSA`")
    assert isinstance(_classify(lost), EncoderBroken)
    assert _classify(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")) is None


@pytest.fixture
def torch_threads() -> Iterator[None]:
    """Restores PyTorch's thread count, which an encoder for several threads changes."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("torch_threads")
def test_concurrent_batches_give_the_same_vectors_as_sequential_ones() -> None:
    encoder = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32", threads=2))
    shape = (4, encoder.spec.height, encoder.spec.width, 3)
    batches = [np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8) for seed in range(24)]
    expected = [encoder.encode(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(encoder.encode, batches))
    assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("torch_threads")
def test_a_lone_batch_gets_all_cores_and_concurrent_ones_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.encode.device.usable_cpus", lambda: 4)
    encoder = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32", threads=0))
    assert encoder.threads == 4
    encoder = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32", threads=2))
    is_running, may_end = threading.Event(), threading.Event()
    core_counts: list[int] = []

    def forward(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        core_counts.append(torch.get_num_threads())
        if len(core_counts) == 1:
            is_running.set()
            assert may_end.wait(10)
        return np.zeros((len(pixels), 1), np.float32)

    monkeypatch.setattr(encoder, "_forward", forward)
    batch = np.zeros((1, 1, 1, 3), np.uint8)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(encoder.encode, batch)
        assert is_running.wait(10)
        encoder.encode(batch)
        may_end.set()
        first.result()
    encoder.encode(batch)
    assert core_counts == [4, 2, 4]


def test_a_gpu_runs_one_batch_at_a_time() -> None:
    assert choose_threads("cuda") == 1


def test_an_unavailable_device_is_named_with_the_setting() -> None:
    device = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(ModelUnavailable, match=f"CLIPQUEUE_DEVICE={device} cannot be used on this machine"):
        OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", device, "fp32"))
