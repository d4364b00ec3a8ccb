"""The encoder chooses device, precision and threads, and gives the same vectors each time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from worker.encode.device import choose_threads
from worker.encode.load import Load
from worker.encode.open_clip import EncoderConfig, OpenClipEncoder
from worker.errors import ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_auto_precision_is_measured_with_the_batch_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow model gets smaller batches, in which another precision may be faster."""
    monkeypatch.setattr(OpenClipEncoder, "_warm_time_s", lambda _, size: 0.5 * size)
    config = EncoderConfig("emoji-clip", "bundled", "cpu", load=Load(batch_size=32, concurrency=64, encode_s=12))
    encoder = OpenClipEncoder(config)
    assert encoder.batch_size == 6, "12 images in flight, half of them in the batch"
    assert encoder.precision in ("fp32", "bf16")
    assert encoder.precision_reason.startswith("measured: a batch of 6 takes ")


def test_untrained_weights_are_seeded(caplog: pytest.LogCaptureFixture) -> None:
    """Every start gives the same vectors, and logs a warning."""
    batch = np.full((1, 224, 224, 3), 100, np.uint8)
    choice = EncoderConfig("ViT-S-32-alt", "untrained", "cpu", "fp32")
    vectors = [OpenClipEncoder(choice).encode(batch) for _ in range(2)]
    assert np.array_equal(vectors[0], vectors[1])
    assert caplog.text.count("CLIP_PRETRAINED=untrained") == 2


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
    batches = [np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8) for seed in range(12)]
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
            assert may_end.wait(60)
        return np.zeros((len(pixels), 1), np.float32)

    monkeypatch.setattr(encoder, "_forward", forward)
    batch = np.zeros((1, 1, 1, 3), np.uint8)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(encoder.encode, batch)
        assert is_running.wait(60)
        encoder.encode(batch)
        may_end.set()
        first.result()
    encoder.encode(batch)
    assert core_counts == [4, 2, 4]


def test_a_gpu_runs_one_batch_at_a_time() -> None:
    assert choose_threads("cuda") == 1


@pytest.mark.parametrize("device", ["mps" if torch.cuda.is_available() else "cuda", "cuda:99"])
def test_an_unavailable_device_is_named_with_the_setting_before_the_model_is_loaded(device: str) -> None:
    with pytest.raises(ModelUnavailable, match=f"CLIPQUEUE_DEVICE={device} cannot be used on this machine: .*Set it"):
        OpenClipEncoder(EncoderConfig("no-such-model", "bundled", device, "fp32"))


class NoMemory:
    """Replaces the model's forward pass: it has memory for so many images."""

    def __init__(self, encoder: OpenClipEncoder, limit: int) -> None:
        self.sizes: list[int] = []
        self._limit, self._real = limit, encoder._forward

    def __call__(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> Any:
        self.sizes.append(len(pixels))
        if len(pixels) > self._limit:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GiB, max allowed: 9.07 GiB)")
        return self._real(pixels)


def test_a_start_with_little_memory_warms_up_with_a_smaller_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Load(batch_size=8, concurrency=64, encode_s=100)
    encoder = OpenClipEncoder(EncoderConfig("emoji-clip", "bundled", "cpu", "fp32", load=load))
    forward = NoMemory(encoder, 3)
    monkeypatch.setattr(encoder, "_forward", forward)
    assert encoder.warm_up() > 0
    assert forward.sizes == [8, 4, 2, 2]
    monkeypatch.setattr(encoder, "_forward", NoMemory(encoder, 0))
    with pytest.raises(ModelUnavailable, match=r"cannot run on cpu: MPS backend out of memory .*CLIPQUEUE_DEVICE"):
        encoder.warm_up()
