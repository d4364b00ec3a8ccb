"""What a backend finds: images with their scores, in an order that is the same on every page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from bson import ObjectId

if TYPE_CHECKING:
    from producer.contract.records import BsonId
    from producer.search.filters import Filter
    from producer.search.vectors import Vector

# Scores that differ by less are the same, because the backends do not add in the same order.
SCORE_DIGITS = 6
# The score, the type of the id, and the id.
Place = tuple[float, int, Any]
# Numbers of one type at least are in their own order: 10 stands behind 9.
_TYPES = (str, ObjectId, int | float, UUID)


@dataclass(frozen=True)
class Candidate:
    """An image that a backend found.

    Attributes:
        document_id: The document's `_id`.
        score: The cosine, rounded to SCORE_DIGITS.
        vector: Its vector with unit length, if the search asked for vectors.
    """

    document_id: BsonId
    score: float
    vector: Vector | None = None

    @property
    def place(self) -> Place:
        """Where the candidate stands among others: the best first, and those with one score by id."""
        return place_of(self.score, self.document_id)


def place_of(score: float, document_id: BsonId) -> Place:
    """Return the sort key of an image with this score."""
    place = next(place for place, kind in enumerate(_TYPES) if isinstance(document_id, kind))
    return -score, place, document_id


@dataclass(frozen=True)
class Found:
    """The best images.

    Attributes:
        candidates: The images, in order. All images with the score of the last one, or a higher one, are among them.
        is_all: Whether there are no other images that match.
    """

    candidates: list[Candidate]
    is_all: bool


@dataclass(frozen=True)
class Target:
    """What a backend compares all vectors with.

    Attributes:
        model: The model whose vectors are searched.
        vector: The vector, with unit length.
        filter: Only images that match.
        exact: Compare all vectors.
        with_vectors: Return the vectors too.
    """

    model: str
    vector: Vector
    filter: Filter
    exact: bool
    with_vectors: bool


class Backend(Protocol):
    """Finds the nearest vectors."""

    @property
    def name(self) -> str:
        """`vector_search` or `scan`."""
        ...

    def best(self, target: Target, count: int) -> Found:
        """Return about `count` images with the highest scores."""
        ...
