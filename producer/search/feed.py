"""Loads the vectors of one model from the collection into a table, and follows the changes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from producer.contract.errors import ClipqueueError
from producer.contract.records import bson_date, job_record, to_ms
from producer.search.blocks import Row, Table
from producer.search.errors import SearchUnavailable
from producer.search.oddities import LONG_OR_SHORT, UNUSABLE, Oddities
from producer.search.reader import PAGE, of_model, version_of
from producer.search.vectors import has_unit_length, normalise, parse_stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from producer.contract.records import BsonId, Document
    from producer.search.blocks import Snapshot
    from producer.search.reader import VectorReader
    from producer.search.settings import SearchSettings

# Workers write results in any order, and their clocks differ: jobs that finished so long before the newest one are read
# again each time, without their vectors.
_OVERLAP = timedelta(seconds=30)
# How often all documents are read without their vectors, to find those that were deleted or whose fields have changed.
CHECK_EVERY_S = 300.0
# A slow server is asked less often: of the time, it may spend a fiftieth on that.
_CHECK_SHARE = 50


class Feed:
    """Keeps a table in step with the collection. Only one thread at a time may call `refresh`.

    Args:
        reader: The collection.
        model: The model whose vectors are read.
        dim: The length of its vectors.
        settings: The declared fields, and the maximum number of vectors.
    """

    def __init__(self, reader: VectorReader, model: str, dim: int, settings: SearchSettings) -> None:
        self._reader = reader
        self._model = model
        self._settings = settings
        self._table = Table(dim, settings.filter_fields)
        self._newest: datetime | None = None
        self._documents = 0
        self._checked_at: float | None = None
        self._check_took_s = 0.0
        self._oddities = Oddities()
        self._is_counted = False
        self.is_stopped = False

    @property
    def snapshot(self) -> Snapshot:
        """The vectors as of the last refresh."""
        return self._table.snapshot

    def refresh(self) -> None:
        """Read what has changed, or everything at the first call.

        Raises:
            SearchUnavailable: There are more vectors than the settings allow.
            StoreUnavailable: MongoDB did not answer.
        """
        documents, newest = self._reader.estimated_count(), self._newest
        self._is_counted = False
        try:
            if self._checked_at is None:
                self._load(documents)
            else:
                self._read_new()
                if documents < self._documents or self._is_check_due():
                    self._check_all()
        except ClipqueueError:
            self._newest = newest  # what was not read is not older than this
            raise
        self._documents = documents
        if len(self._table) > self._settings.scan_max:
            raise _too_many(self._settings.scan_max)
        self._table.compact()
        self._oddities.report()
        self._table.publish()

    def _load(self, documents: int) -> None:
        if documents > self._settings.scan_max:
            self._check_count()
        started_at, started = time.monotonic(), datetime.now(UTC)
        for page in self._reader.vectors(of_model(self._model)):
            self._put(page)
        self._newest = self._newest or started
        self._note_check(started_at)

    def _read_new(self) -> None:
        since = (self._newest or datetime.now(UTC)) - _OVERLAP
        for page in self._reader.jobs(of_model(self._model, since)):
            self._read_vectors(self._changed(page))

    def _check_all(self) -> None:
        """Compare all rows with the documents, without reading vectors that are known."""
        started_at = time.monotonic()
        known = self._table.ids()
        found: set[BsonId] = set()
        for page in self._reader.jobs(of_model(self._model)):
            changed = self._changed(page)
            self._update_fields(page)
            self._read_vectors(changed)
            found.update(document["_id"] for document in page)
        self._table.remove(known - found)
        self._oddities.keep(found)
        self._note_check(started_at)

    def _changed(self, page: Iterable[Document]) -> list[BsonId]:
        return [document["_id"] for document in page if self._table.version(document["_id"]) != version_of(document)]

    def _read_vectors(self, document_ids: list[BsonId]) -> None:
        for start in range(0, len(document_ids), PAGE):
            query = {"_id": {"$in": document_ids[start : start + PAGE]}, **of_model(self._model)}
            for page in self._reader.vectors(query):
                self._put(page)

    def _update_fields(self, documents: Iterable[Document]) -> None:
        for document in documents:
            key = document["_id"]
            if self._table.version(key) is not None and self._table.codes_differ(key, document):
                known = self._table.version(key) or 0  # of the vector, which may be read later
                self._table.put([Row(key, self._table.vector(key), known, document)])

    def _put(self, page: list[Document]) -> None:
        self._table.put(filter(None, map(self._row_of, page)))
        if len(self._table) > self._settings.scan_max and not self._is_counted:
            self._check_count()  # some rows may be of images that were deleted
        if self.is_stopped:
            raise SearchUnavailable("the search was closed")

    def _check_count(self) -> None:
        """Raise SearchUnavailable if the collection has too many vectors; count them once in a refresh."""
        most, self._is_counted = self._settings.scan_max, True
        if self._reader.count(self._model, most + 1) > most:
            raise _too_many(most)

    def _row_of(self, document: Document) -> Row | None:
        key = document["_id"]
        given = parse_stored(document.get("embedding"))
        vector = None if given is None or len(given) != self._table.dim else normalise(given)
        if given is None or vector is None:
            self._oddities.note(key, UNUSABLE)
            self._table.remove([key])
            return None
        self._oddities.note(key, None if has_unit_length(given) else LONG_OR_SHORT)
        self._note_finished(document)
        return Row(key, vector, version_of(document), document)

    def _note_finished(self, document: Document) -> None:
        finished_ms = to_ms(job_record(document).get("finished_at"))
        if finished_ms is not None:
            finished_at = min(bson_date(finished_ms), datetime.now(UTC))  # a clock that is wrong must not hide others
            self._newest = max(self._newest or finished_at, finished_at)

    def _is_check_due(self) -> bool:
        pause_s = max(CHECK_EVERY_S, _CHECK_SHARE * self._check_took_s)
        return self._checked_at is None or time.monotonic() - self._checked_at > pause_s

    def _note_check(self, started_at: float) -> None:
        self._checked_at = time.monotonic()
        self._check_took_s = self._checked_at - started_at


def _too_many(most: int) -> SearchUnavailable:
    return SearchUnavailable(
        f"more than {most} images have a vector, the most that are searched without an index: create one with "
        "`clipqueue index create`, or raise CLIPQUEUE_SCAN_MAX"
    )
