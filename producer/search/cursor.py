"""The cursor of a page: how far the pages before it came, and which search they belong to."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.contract.errors import InvalidJob
from producer.contract.ids import parse_image_id, wire_id
from producer.contract.records import bson_id, image_id_of
from producer.search.candidates import place_of
from producer.search.errors import InvalidSearch

if TYPE_CHECKING:
    from producer.contract.records import BsonId
    from producer.search.candidates import Place
    from producer.search.filters import Filter
    from producer.search.query import SearchQuery

_MAX_CHARS = 8192
_DIGEST_CHARS = 16


@dataclass(frozen=True)
class Cursor:
    """The last hit of a page.

    Attributes:
        offset: The number of hits on this page and those before it.
        search: The digest of the search, see `digest_of`.
        model: The model whose vectors are searched.
        score: The score of the last hit.
        document_id: Its `_id`.
    """

    offset: int
    search: str
    model: str
    score: float
    document_id: BsonId

    @property
    def place(self) -> Place:
        """The place of the last hit; the next page has the hits behind it, so no two pages overlap."""
        return place_of(self.score, self.document_id)

    def write(self) -> str:
        """Return the cursor as URL-safe text."""
        key = wire_id(image_id_of(self.document_id))
        content = json.dumps([self.offset, self.search, self.model, self.score, key], separators=(",", ":"))
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def read_cursor(text: str, search: str, most: int) -> Cursor:
    """Return a cursor from its text.

    Args:
        text: What `write` returned.
        search: The digest of the search.
        most: The number of hits on all pages.

    Raises:
        InvalidSearch: The text is no cursor, or belongs to another search.
    """
    cursor = _parse(text, most)
    if cursor is None:
        raise InvalidSearch("cursor", "is not the `next` of an earlier page")
    if cursor.search != search:
        raise other_search()
    return cursor


def other_search() -> InvalidSearch:
    """Return the error for a cursor of another search."""
    return InvalidSearch("cursor", "belongs to another search: only `limit` and `fields` may change between pages")


def digest_of(query: SearchQuery, wanted: Filter) -> str:
    """Return a digest of all that decides which hits a search has, and in which order."""
    image = hashlib.sha256(query.image).hexdigest() if isinstance(query.image, bytes) else query.image
    parts = (query.text, image, query.like, query.not_text, query.not_like, query.weights, wanted)
    cuts = (query.min_score, query.within, query.dedupe, query.exact, query.model)
    return hashlib.sha256(repr((parts, cuts)).encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]


def _parse(text: Any, most: int) -> Cursor | None:
    if not isinstance(text, str) or len(text) > _MAX_CHARS:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        offset, search, model, score, key = json.loads(base64.b64decode(padded.encode("ascii"), b"-_", validate=True))
        # A string may be longer than that of a job: another program may have written the document.
        document_id = key if isinstance(key, str) else bson_id(parse_image_id(key))
    except (ValueError, TypeError, RecursionError, InvalidJob):
        return None
    types_fit = (type(offset), type(search), type(model)) == (int, str, str)
    score_fits = isinstance(score, float) and math.isfinite(score)
    if not types_fit or not score_fits or not 0 < offset <= most:
        return None
    return Cursor(offset, search, model, score, document_id)
