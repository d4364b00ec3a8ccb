"""Stands in for `worker.encode.open_clip`, by the same names: a vector from the pixels in microseconds, and no torch.

Vectors differ from picture to picture, and from model to model: CLIP_MODEL may be any name here.
"""

from __future__ import annotations

import os
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.settings import Settings

_SIDE = 32
_CELL = 8


@dataclass(frozen=True)
class EncoderConfig:
    """Which model: only its name matters here."""

    model: str

    @classmethod
    def of(cls, settings: Settings) -> EncoderConfig:
        return cls(settings.clip_model)


class OpenClipEncoder:
    """Gives the mean colours of a grid, turned in a way of the model's own."""

    spec = PreprocessSpec(_SIDE, _SIDE)
    dim = 3 * (_SIDE // _CELL) ** 2
    device, threads, precision, precision_reason, parameters = "cpu", 1, "fp32", "it has no weights", 0

    def __init__(self, choice: EncoderConfig) -> None:
        self.model_id = choice.model
        draw = np.random.default_rng(zlib.crc32(choice.model.encode()))
        self._turn = np.linalg.qr(draw.standard_normal((self.dim, self.dim)))[0].astype(np.float32)

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        while os.path.exists(os.environ.get("STAND_IN_HANGS_WHILE", "")):  # noqa: PTH110  (no path for "")
            time.sleep(0.05)
        count, cells = len(pixels), _SIDE // _CELL
        grid = pixels.reshape(count, cells, _CELL, cells, _CELL, 3).mean(axis=(2, 4), dtype=np.float32)
        # Less white, which most pictures share; and never the zero vector, which the worker refuses.
        colours = 255.5 - grid.reshape(count, self.dim)
        vectors = (colours / np.linalg.norm(colours, axis=1, keepdims=True)) @ self._turn
        return np.asarray(vectors, dtype=np.float32)

    def warm_up(self, batch_size: int) -> float:
        self.encode(np.zeros((batch_size, _SIDE, _SIDE, 3), np.uint8))
        return 1e-4

    def describe(self) -> str:
        return f"dim={self.dim} stand-in"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the stand-in encoder has no {name!r}: add it to tests/chaos/fake_encoder.py")
