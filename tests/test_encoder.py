"""The encoder chooses where and how the model runs, and the same choice gives the same vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from worker.encoder import EncoderChoice, OpenClipEncoder

if TYPE_CHECKING:
    import pytest


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
