"""The vectors that the pictures must get, computed in this process with the cluster's model."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from producer.cli.model import SMALL_MODEL
from tests.chaos.cluster import FAKE
from tests.chaos.pictures import COUNT, picture
from tests.support import fake_encoder
from tests.support.decoding import decoder_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIN_COSINE = 0.999


@cache
def digest_of(number: int) -> str:
    """Return the SHA-256 of a picture's file."""
    return hashlib.sha256(picture(number)).hexdigest()


def is_vector_of(app: str, model: str, number: int, vector: list[float]) -> bool:
    """Return whether this is the vector of this picture and of no other, with length 1."""
    model_id, vectors = _vectors(app, model if app == FAKE else "")
    if model != model_id or len(vector) != vectors.shape[1] or not 0.999 < np.linalg.norm(vector) < 1.001:
        return False
    cosines = vectors @ np.asarray(vector, np.float32)
    return bool(cosines[number] >= _MIN_COSINE and cosines.argmax() == number)


@cache
def _vectors(app: str, model: str) -> tuple[str, NDArray[np.float32]]:
    """Return the model's id and its vectors of all pictures; `model` names a fake model."""
    encoder = fake_encoder.OpenClipEncoder(fake_encoder.EncoderConfig(model)) if app == FAKE else _small_model()
    decoder = decoder_for(encoder.spec)
    vectors: NDArray[np.float32] = encoder.encode(np.stack([decoder.decode(picture(n)).pixels for n in range(COUNT)]))
    cosines = vectors @ vectors.T - np.eye(COUNT)
    assert cosines.max() < _MIN_COSINE, "two pictures are too similar: a wrong vector would not be found"
    return encoder.model_id, vectors


def _small_model() -> Any:
    from worker.encode.open_clip import EncoderConfig, OpenClipEncoder  # noqa: PLC0415  (imports torch)

    return OpenClipEncoder(EncoderConfig(SMALL_MODEL["CLIP_MODEL"], SMALL_MODEL["CLIP_PRETRAINED"], "cpu", "fp32"))
