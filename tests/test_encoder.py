"""The encoder chooses where and how the model runs, and the same choice gives the same vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worker.encoder import EncoderChoice, OpenClipEncoder, _fault
from worker.errors import EncoderBroken, OutOfMemory


def test_auto_precision_measures_and_takes_one_of_the_two() -> None:
    encoder = OpenClipEncoder(EncoderChoice("ViT-S-32-alt", "untrained"))
    assert encoder.precision in ("fp32", "bf16")
    assert encoder.dim == 256
    assert encoder.device in ("cpu", "cuda", "mps")


def test_untrained_is_seeded(caplog: pytest.LogCaptureFixture) -> None:
    """The same vectors at every start, and a warning each time."""
    batch = np.full((1, 224, 224, 3), 100, np.uint8)
    choice = EncoderChoice("ViT-S-32-alt", "untrained", "cpu", "fp32")
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
