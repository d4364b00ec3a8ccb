"""Replaces `worker.encode.open_clip` where the model is not the subject of a test: the same names, without torch.

A worker with this encoder starts with 2 s of CPU time instead of 10 s. Its vectors differ from image to image and from
model to model. CLIP_MODEL may be any name; with NAN_MODEL every vector is NaN.
"""

from __future__ import annotations

import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from worker.encode.tokens import Tokens
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from worker.settings import Settings

NAN_MODEL = "fake/nan"
# Environment variables: the seconds that a forward pass takes, and a file that blocks every forward pass while it
# exists. A forward pass that waits for that creates another file, with this suffix.
FORWARD_PASS_S = "FAKE_ENCODER_FORWARD_PASS_S"
BLOCKED_BY = "FAKE_ENCODER_BLOCKED_BY"
REACHED = ".reached"
# The same for the forward passes of texts.
TEXTS_BLOCKED_BY = "FAKE_ENCODER_TEXTS_BLOCKED_BY"

_SIDE = 32
_CELL = 8


@dataclass(frozen=True)
class EncoderConfig:
    """The name of the model, with that of its weights if it has no slash; a fake encoder needs no other setting."""

    model: str

    @classmethod
    def of(cls, settings: Settings, tower: str = "both") -> EncoderConfig:  # noqa: ARG003
        has_weights = "/" not in settings.clip_model
        return cls(f"{settings.clip_model}/{settings.clip_pretrained}" if has_weights else settings.clip_model)


class TextTower:
    """Returns a vector that depends on the words of a text and on the model. Its context has 16 tokens."""

    context_length = 16

    def __init__(self, rotation: NDArray[np.float32]) -> None:
        self._rotation = rotation

    def tokenize(self, text: str) -> Tokens:
        words = [zlib.crc32(word.encode()) for word in text.lower().split()]
        ids = np.array(words[: self.context_length], np.int64)
        return Tokens(ids, len(ids), len(words) > self.context_length)

    def encode(self, tokens: Sequence[Tokens]) -> NDArray[np.float32]:
        while os.path.exists(os.environ.get(TEXTS_BLOCKED_BY, "")):  # noqa: PTH110  (Path("") exists)
            time.sleep(0.05)
        vectors = [np.random.default_rng(text.ids).standard_normal(len(self._rotation)) for text in tokens]
        units = [vector / np.linalg.norm(vector) for vector in vectors]
        return np.asarray(np.stack(units) @ self._rotation, dtype=np.float32)


class OpenClipEncoder:
    """Returns the mean colors of a grid, rotated by a matrix that depends on the model's name."""

    spec = PreprocessSpec(_SIDE, _SIDE)
    dim = 3 * (_SIDE // _CELL) ** 2
    device, threads, precision, precision_reason, parameters = "cpu", 1, "fp32", "it has no weights", 0
    batch_size = 1024

    def __init__(self, config: EncoderConfig) -> None:
        self.model_id = config.model
        rng = np.random.default_rng(zlib.crc32(config.model.encode()))
        rotation = np.linalg.qr(rng.standard_normal((self.dim, self.dim)))[0].astype(np.float32)
        self._rotation = np.full_like(rotation, np.nan) if config.model == NAN_MODEL else rotation
        self.texts = TextTower(self._rotation)

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(float(os.environ.get(FORWARD_PASS_S, "0")))
        while os.path.exists(os.environ.get(BLOCKED_BY, "")):  # noqa: PTH110  (Path("") exists)
            Path(os.environ[BLOCKED_BY] + REACHED).touch()
            time.sleep(0.05)
        count, cells = len(pixels), _SIDE // _CELL
        grid = pixels.reshape(count, cells, _CELL, cells, _CELL, 3).mean(axis=(2, 4), dtype=np.float32)
        # White, the background of most test images, becomes almost zero: vectors differ more. Never the zero vector,
        # which the worker rejects.
        colors = 255.5 - grid.reshape(count, self.dim)
        vectors = (colors / np.linalg.norm(colors, axis=1, keepdims=True)) @ self._rotation
        return np.asarray(vectors, dtype=np.float32)

    def warm_up(self) -> float:
        self.encode(np.zeros((1, _SIDE, _SIDE, 3), np.uint8))
        return 1e-4

    def describe(self) -> str:
        return f"dim={self.dim} fake"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the fake encoder has no {name!r}: add it to tests/support/fake_encoder.py")
