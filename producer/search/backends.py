"""Chooses how to search: with MongoDB's vector search where its index fits, else by a scan."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from producer.search.errors import SearchUnavailable
from producer.search.index import NoVectorSearch, SearchIndexes
from producer.search.scan import ScanBackend
from producer.search.vector_search import VectorSearchBackend

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from producer.contract.records import Document
    from producer.search.candidates import Backend
    from producer.search.index import VectorIndex
    from producer.search.reader import VectorReader
    from producer.search.settings import SearchSettings

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 30.0
_SIMILARITIES = ("cosine", "dotProduct")


class Backends:
    """The two backends of one collection. Thread-safe."""

    def __init__(self, collection: Collection[Document], reader: VectorReader, settings: SearchSettings) -> None:
        self.scan = ScanBackend(reader, settings)
        self._vector_search = VectorSearchBackend(collection, settings)
        self._indexes = SearchIndexes(collection, settings)
        self._reader = reader
        self._settings = settings
        self._lock = threading.Lock()
        self._index: VectorIndex | None = None
        self._looked_at: float | None = None
        self._said = ""

    def close(self) -> None:
        """Stop refreshes in the background."""
        self.scan.close()

    def choose(self, model: str, dim: int) -> Backend:
        """Return the backend for a search of a model's vectors.

        Raises:
            SearchUnavailable: The index cannot be used, and there are too many vectors for a scan; or it is for vectors
                of another length.
            StoreUnavailable: MongoDB did not answer.
        """
        index = self._current_index()
        if index is None:
            return self.scan
        if index.dim is not None and index.dim != dim:
            raise SearchUnavailable(
                f"the index {index.name!r} is for vectors of length {index.dim}, but {model} gives {dim}: run "
                "`clipqueue index create` to build it for this model"
            )
        problem = self._problem(index)
        if problem is None:
            return self._vector_search
        self._check_scan(model, problem)
        self._say(f"{problem}; until then, searches compare all vectors in memory")
        return self.scan

    def _problem(self, index: VectorIndex) -> str | None:
        name = f"the index {index.name!r}"
        again = "run `clipqueue index create` again"
        if index.dim is None:
            return f"{name} does not cover the field `embedding`: {again}"
        if index.similarity not in _SIMILARITIES:
            return f"{name} compares vectors by {index.similarity}, and not by cosine: {again}"
        if missing := index.missing_fields(self._settings.filter_fields):
            return f"{name} lacks the filter field {', '.join(missing)}: {again}"
        return None if index.is_queryable else f"{name} is still being built (status {index.status})"

    def _check_scan(self, model: str, problem: str) -> None:
        most = self._settings.scan_max
        if self._reader.estimated_count() > most and self._reader.count(model, most + 1) > most:
            raise SearchUnavailable(f"{problem}; and there are more than {most} images (CLIPQUEUE_SCAN_MAX) to scan")

    def _current_index(self) -> VectorIndex | None:
        """Return the index as it was a short while ago. One thread looks again, and the others go on meanwhile.

        While MongoDB is silent, they would otherwise wait for its timeout one after the other.
        """
        if self._is_old() and self._lock.acquire(blocking=self._looked_at is None):
            try:
                if self._is_old():
                    self._index = self._find_index()
                    self._looked_at = time.monotonic()
            finally:
                self._lock.release()
        return self._index

    def _is_old(self) -> bool:
        return self._looked_at is None or time.monotonic() - self._looked_at > _LOOK_EVERY_S

    def _find_index(self) -> VectorIndex | None:
        try:
            return self._indexes.find()
        except NoVectorSearch:
            return None

    def _say(self, text: str) -> None:
        if text != self._said:
            _log.warning("%s", text)
        self._said = text
