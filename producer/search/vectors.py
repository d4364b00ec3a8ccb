"""Reads the vectors that documents and workers hold, and combines them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

Vector = NDArray[np.float32]
Matrix = NDArray[np.float32]

# A BSON vector starts with the type of its elements (float32) and the number of unused bits (0).
_FLOAT32 = b"\x27\x00"
_LITTLE_ENDIAN_F32 = np.dtype("<f4")
_SHORTEST = 1e-6
_UNIT_ERROR = 0.01


def read_stored(stored: Any, dim: int | None = None) -> Vector | None:
    """Return a document's `embedding` with unit length; None if it is no vector.

    Args:
        stored: An array of numbers, or a BSON vector of float32 (which the embedded MongoDB returns as bytes).
        dim: The expected length; None accepts any.
    """
    vector = parse_stored(stored)
    if vector is None or (dim is not None and len(vector) != dim):
        return None
    return normalise(vector)


def parse_stored(stored: Any) -> Vector | None:
    """Return a document's `embedding` as it is; None if it has no numbers."""
    return _from_bytes(stored) if isinstance(stored, bytes) else _from_list(stored)


def has_unit_length(vector: Vector) -> bool:
    """Return whether a vector has unit length, to the precision of bf16."""
    return bool(abs(float(vector @ vector) - 1) < _UNIT_ERROR)


def read_embedded(vector: bytes) -> Vector | None:
    """Return a worker's vector with unit length; None if it is no vector."""
    usable = len(vector) > 0 and len(vector) % _LITTLE_ENDIAN_F32.itemsize == 0
    return normalise(np.frombuffer(vector, _LITTLE_ENDIAN_F32)) if usable else None


def normalise(vector: Vector) -> Vector | None:
    """Return the vector with unit length; None if it has no direction: it is zero or has a NaN."""
    exact = vector.astype(np.float64)
    length = float(np.sqrt(exact @ exact))
    if not np.isfinite(length) or length < _SHORTEST:
        return None
    return (exact / length).astype(np.float32)


def combine(weighted: Iterable[tuple[float, Vector]]) -> Vector | None:
    """Return the unit vector in the direction of a weighted sum; None if the sum is zero."""
    parts = [weight * vector.astype(np.float64) for weight, vector in weighted]
    return normalise(np.sum(parts, axis=0)) if parts else None


def _from_bytes(stored: bytes) -> Vector | None:
    content = stored[len(_FLOAT32) :]
    if not stored.startswith(_FLOAT32) or not content or len(content) % _LITTLE_ENDIAN_F32.itemsize:
        return None
    return np.frombuffer(content, _LITTLE_ENDIAN_F32)


def _from_list(stored: Any) -> Vector | None:
    if not isinstance(stored, list) or not stored:
        return None
    try:
        vector = np.array(stored, np.float32)
    except (TypeError, ValueError, OverflowError):
        return None
    return vector if vector.ndim == 1 else None  # a list of lists is a matrix
