"""A search and its result, as values. `producer.search.checks` says which searches are valid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.contract.ids import ImageId

VECTOR_SEARCH = "vector_search"
SCAN = "scan"


@dataclass(frozen=True)
class Weights:
    """How much each part of a search counts in the combined vector. `not_` is subtracted."""

    text: float = 1.0
    image: float = 1.0
    like: float = 1.0
    not_: float = 0.5


@dataclass(frozen=True)
class SearchQuery:
    """What to search for. At least one of `text`, `image` and `like` is needed.

    Attributes:
        text: A text.
        image: A picture: its URL, or its bytes.
        like: Ids of stored images, whose vectors are used without a call to the model. They are no hits themselves. A
            string that is the text of an ObjectId, an integer or a UUID matches this, or else the string.
        not_text: Texts that hits should not resemble.
        not_like: Stored images that hits should not resemble; they are no hits either.
        weights: The weight of each part.
        filter: A filter over declared fields, with MongoDB's operators; dates as `{"$date": "2026-01-01T00:00:00Z"}`
            or datetimes, ObjectIds and UUIDs as `{"$oid": "..."}` and `{"$uuid": "..."}` or as what they are.
        limit: The maximum number of hits.
        cursor: `next` of the page before.
        min_score: Leave out hits with a lower cosine.
        within: Leave out hits whose cosine is lower than that of the best hit by more than this.
        dedupe: Fold a hit into a better one if their cosine is at least this.
        exact: Compare all vectors, even if MongoDB's index could estimate the best ones faster.
        fields: Declared fields to return with each hit.
        model: Search the vectors of this model; by default, of the model that embeds the query.
    """

    text: str | None = None
    image: str | bytes | None = None
    like: tuple[ImageId, ...] = ()
    not_text: tuple[str, ...] = ()
    not_like: tuple[ImageId, ...] = ()
    weights: Weights = Weights()
    filter: Mapping[str, Any] | None = None
    limit: int = 24
    cursor: str | None = None
    min_score: float | None = None
    within: float | None = None
    dedupe: float | None = None
    exact: bool = False
    fields: tuple[str, ...] = ()
    model: str | None = None


@dataclass(frozen=True)
class Hit:
    """An image that was found.

    Attributes:
        image_id: The document's `_id`; `str(image_id)` is the id as text.
        score: The cosine of its vector and the query's.
        url: The URL that was embedded last, or else the document's; None if it has none. It may be signed.
        fields: The declared fields that the search asked for, if the document has them, by their path.
        duplicates: The images that were folded into this one, the most similar to the query first.
    """

    image_id: ImageId
    score: float
    url: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    duplicates: tuple[ImageId, ...] = ()


@dataclass(frozen=True)
class SearchPage:
    """One page of hits, the best first.

    Attributes:
        model: The model whose vectors were compared.
        backend: VECTOR_SEARCH or SCAN.
        hits: The hits.
        next: The cursor of the next page; None if this is the last one.
        took_ms: Milliseconds by step: `embed` and `search`.
    """

    model: str
    backend: str
    hits: tuple[Hit, ...]
    next: str | None
    took_ms: Mapping[str, int]


@dataclass(frozen=True)
class Duplicates:
    """Which near-duplicates to find.

    Attributes:
        threshold: Two images whose cosine is at least this are in one group.
        model: Compare the vectors of this model; None if the collection has vectors of only one.
        limit: Stop after this many groups.
    """

    threshold: float = 0.97
    model: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Duplicate:
    """An image of a group.

    Attributes:
        image_id: The document's `_id`.
        url: As in a hit.
        cosine: The cosine of its vector and that of the group's first image.
    """

    image_id: ImageId
    url: str | None
    cosine: float


@dataclass(frozen=True)
class DuplicateGroup:
    """Images of which each is a near-duplicate of at least one other, ordered by id."""

    images: tuple[Duplicate, ...]
