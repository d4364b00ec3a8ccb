"""The vectors that the pictures must get, computed in this process, by the cluster's model."""

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

_LEAST_COSINE = 0.999


@cache
def digest_of(number: int) -> str:
    """Return the SHA-256 of a picture's file."""
    return hashlib.sha256(picture(number)).hexdigest()


def is_vector_of(app: str, model: str, number: int, vector: list[float]) -> bool:
    """Return whether it is the vector of this picture, of unit length, and of no other picture."""
    encoder_id, right = _vectors(app, model if app == FAKE else "")
    if model != encoder_id or len(vector) != right.shape[1] or not 0.999 < np.linalg.norm(vector) < 1.001:
        return False
    cosines = right @ np.asarray(vector, np.float32)
    return bool(cosines[number] >= _LEAST_COSINE and cosines.argmax() == number)


@cache
def _vectors(app: str, model: str) -> tuple[str, NDArray[np.float32]]:
    """Return the model's name in documents, and its vectors of all pictures. `model` chooses among the stand-ins."""
    encoder = fake_encoder.OpenClipEncoder(fake_encoder.EncoderConfig(model)) if app == FAKE else _small_model()
    decoder = decoder_for(encoder.spec)
    vectors: NDArray[np.float32] = encoder.encode(np.stack([decoder.decode(picture(n)).pixels for n in range(COUNT)]))
    alike = vectors @ vectors.T - np.eye(COUNT)
    assert alike.max() < _LEAST_COSINE, "two of the pictures are too much alike to tell a wrong vector"
    return encoder.model_id, vectors


def _small_model() -> Any:
    from worker.encode.open_clip import EncoderConfig, OpenClipEncoder  # noqa: PLC0415  (loads torch)

    return OpenClipEncoder(EncoderConfig(SMALL_MODEL["CLIP_MODEL"], SMALL_MODEL["CLIP_PRETRAINED"], "cpu", "fp32"))
