"""Images with vectors, and an embedder that needs no model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from producer.contract.errors import NoWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Document = dict[str, Any]

DIM = 16
MODEL = "fake/model"
OTHER_MODEL = "other/model"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def unit(*numbers: float) -> NDArray[np.float32]:
    """Return a unit vector of length DIM in the direction of these numbers and zeros."""
    vector = np.zeros(DIM)
    vector[: len(numbers)] = numbers
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def vector_of(words: str) -> NDArray[np.float32]:
    """Return a unit vector that depends on the words."""
    seed = int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def photo(photo_id: Any, vector: Any, model: str = MODEL, **fields: Any) -> Document:
    """Return a document with a vector, as a worker writes it."""
    stored = vector.tolist() if isinstance(vector, np.ndarray) else vector
    job = {"status": "done", "model": model, "dim": DIM, "url": f"http://host/{photo_id}.jpg", "finished_at": NOW}
    return {"_id": photo_id, "embedding": stored, "embedding_job": job, **fields}


@dataclass(frozen=True)
class Answered:
    """The vector of a text or picture."""

    model: str
    vector: bytes


@dataclass
class FakeEmbed:
    """Embeds texts and pictures without a model.

    Attributes:
        models: The models that "workers" run; the first one answers if none is named.
        asked: The texts and pictures, and the model that was named.
        vectors: Vectors by text; others depend on the text.
    """

    models: Sequence[str] = (MODEL,)
    asked: list[tuple[str | bytes, str | None]] = field(default_factory=list)
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def embed_text(self, text: str, model: str | None) -> Answered:
        return self._answer(text, text, model)

    def embed_image(self, image: str | bytes, model: str | None) -> Answered:
        return self._answer(image, repr(image), model)

    def _answer(self, asked: str | bytes, words: str, model: str | None) -> Answered:
        self.asked.append((asked, model))
        if not self.models or model not in (None, *self.models):
            raise NoWorker(f"no live worker has the model {model}")
        vector = self.vectors.get(words, vector_of(words))
        return Answered(model or self.models[0], vector.astype("<f4").tobytes())
