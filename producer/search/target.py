"""Makes the one vector that a search compares with all others, from its texts, its picture and its stored images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from producer.contract.errors import ConfigurationError, NoWorker
from producer.contract.records import bson_id, job_record, possible_ids
from producer.search.errors import InvalidSearch, OtherModel, UnknownImage
from producer.search.vectors import combine, read_embedded, read_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.contract.ids import ImageId
    from producer.contract.records import BsonId, Document
    from producer.search.embed import Embed, Embedded
    from producer.search.query import SearchQuery
    from producer.search.reader import VectorReader
    from producer.search.vectors import Vector

    # Embeds one part; the argument is the model that must do it, or None.
    EmbedCall = Callable[[str | None], Embedded]


@dataclass(frozen=True)
class QueryVector:
    """The vector of a search.

    Attributes:
        model: The model that it comes from.
        vector: The vector, with unit length.
        stored: The stored images that it is made of.
    """

    model: str
    vector: Vector
    stored: frozenset[BsonId]


class QueryVectors:
    """Makes the vectors of searches."""

    def __init__(self, embed: Embed | None, reader: VectorReader) -> None:
        self._embed = embed
        self._reader = reader

    def of(self, query: SearchQuery) -> QueryVector:
        """Return the unit vector in the direction of the weighted sum of all parts.

        Raises:
            UnknownImage: A stored image does not exist, or has no vector.
            OtherModel: The parts come from different models.
            InvalidSearch: The sum is zero.
            ClipqueueError: No worker embedded a part.
        """
        parts = _Parts(query.model)
        stored = self._read_stored(parts, query)
        for weight, what, embed in self._calls(query):
            parts.embed(weight, what, embed)
        vector = combine(parts.weighted)
        if vector is None or parts.model is None:
            raise InvalidSearch("weights", "the weighted parts cancel each other out: nothing is left to search for")
        return QueryVector(parts.model, vector, stored)

    def _calls(self, query: SearchQuery) -> Iterator[tuple[float, str, EmbedCall]]:
        weights = query.weights
        words = [] if query.text is None else [(weights.text, query.text)]
        words += [(-weights.not_, text) for text in query.not_text]
        if not words and query.image is None:
            return
        if self._embed is None:
            raise ConfigurationError("this search has no connection to the workers, which embed texts and pictures")
        for weight, text in words:
            yield weight, "the text", partial(self._embed.embed_text, text)
        if query.image is not None:
            yield weights.image, "the image", partial(self._embed.embed_image, query.image)

    def _read_stored(self, parts: _Parts, query: SearchQuery) -> frozenset[BsonId]:
        wanted = [(query.weights.like, image_id) for image_id in query.like]
        wanted += [(-query.weights.not_, image_id) for image_id in query.not_like]
        keys = [key for _, image_id in wanted for key in _possible_ids(image_id)]
        found = self._reader.by_id(keys, with_vector=True) if keys else {}
        used = set()
        for weight, image_id in wanted:
            key = next((key for key in _possible_ids(image_id) if key in found), None)
            if key is None:
                raise UnknownImage(str(image_id), f"no document has the id {str(image_id)!r}")
            parts.add(weight, f"{str(image_id)!r}", *_stored_vector(str(image_id), found[key]))
            used.add(key)
        return frozenset(used)


class _Parts:
    """The weighted parts of a search, which must all come from one model."""

    def __init__(self, model: str | None) -> None:
        self.model = model
        self.weighted: list[tuple[float, Vector]] = []
        self._source = "the search"

    def embed(self, weight: float, what: str, embed: EmbedCall) -> None:
        try:
            answer = embed(self.model)
        except NoWorker:
            if not self.weighted:
                raise
            answer = embed(None)  # no worker has the stored image's model; with another one, `add` says so
        vector = read_embedded(answer.vector)
        if vector is None:
            raise InvalidSearch(what.removeprefix("the "), f"{answer.model} gave it no vector that can be compared")
        self.add(weight, what, answer.model, vector)

    def add(self, weight: float, what: str, model: str, vector: Vector) -> None:
        lengths = {len(other) for _, other in self.weighted}
        if self.model not in (None, model) or lengths - {len(vector)}:
            raise OtherModel(
                f"{what} has a vector of {model} (length {len(vector)}), but {self._source} is for {self.model}: "
                "vectors of two models cannot be compared"
            )
        self.model, self._source = model, what
        self.weighted.append((weight, vector))


def _possible_ids(image_id: ImageId) -> list[BsonId]:
    """Return the `_id`s that an id may stand for, the preferred one first: a string may be the text of another type."""
    return possible_ids(image_id) if isinstance(image_id, str) else [bson_id(image_id)]


def _stored_vector(image_id: str, document: Document) -> tuple[str, Vector]:
    model = job_record(document).get("model")
    vector = read_stored(document.get("embedding"))
    if vector is None or not isinstance(model, str):
        raise UnknownImage(image_id, f"{image_id!r} has no vector yet")
    return model, vector
