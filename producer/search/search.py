"""Searches the images of one collection."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Self

from producer.contract.records import bson_id
from producer.documents.connection import connect_collection
from producer.search.backends import Backends
from producer.search.candidates import Target
from producer.search.checks import MAX_RANGE, check_duplicates, check_query
from producer.search.cursor import Cursor, digest_of, other_search, read_cursor
from producer.search.duplicates import find_groups
from producer.search.errors import InvalidSearch
from producer.search.filters import matches_document, read_filter
from producer.search.hits import is_of_model, read_groups, read_hit
from producer.search.query import SearchPage
from producer.search.ranking import Cuts, Page, find_page
from producer.search.reader import VectorReader
from producer.search.target import QueryVectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.collection import Collection

    from producer.contract.records import BsonId, Document
    from producer.search.candidates import Backend
    from producer.search.embed import Embed
    from producer.search.query import DuplicateGroup, Duplicates, Hit, SearchQuery
    from producer.search.ranking import Group
    from producer.search.settings import SearchSettings

# Of many images that were deleted or changed, memory or the index may not know yet. A page with such an image is put
# together again, each time from more candidates. After so many times it has fewer hits.
_MAX_ATTEMPTS = 6
_WIDER = 4


class ImageSearch:
    """Searches the vectors of one collection. Safe to share between threads.

    Without `embed`, it only finds what resembles stored images.

    Besides the errors that each method names, they raise StoreUnavailable if MongoDB does not answer.
    """

    def __init__(self, collection: Collection[Document], embed: Embed | None, settings: SearchSettings) -> None:
        self._collection = collection
        self._settings = settings
        self._reader = VectorReader(collection, settings.filter_fields)
        self._backends = Backends(collection, self._reader, settings)
        self._vectors = QueryVectors(embed, self._reader)

    @classmethod
    def connect(cls, mongodb_uri: str, collection: str, embed: Embed | None, settings: SearchSettings) -> Self:
        """Return a search that connects on first use.

        Raises:
            ConfigurationError: The URI or the collection's name cannot be used.
        """
        return cls(connect_collection(mongodb_uri, collection), embed, settings)

    def close(self) -> None:
        """Stop the refresh in the background and close the connections; `embed` stays open."""
        self.close_backends()
        self._collection.database.client.close()

    def close_backends(self) -> None:
        """Stop the refresh in the background; the collection's connections stay open."""
        self._backends.close()

    def search(self, query: SearchQuery) -> SearchPage:
        """Return a page of hits.

        The first search without MongoDB's vector search loads all vectors into memory.

        Raises:
            InvalidSearch: A part of the search cannot be used.
            UnknownImage: An image of `like` or `not_like` does not exist, or has no vector.
            OtherModel: The search would compare vectors of two models.
            SearchUnavailable: There are too many images to search without an index, or the index does not fit.
            ClipqueueError: The worker did not embed the query; see `producer.contract.errors`.
        """
        check_query(query, self._settings.filter_fields)
        wanted = read_filter(query.filter, self._settings.filter_fields)
        digest = digest_of(query, wanted)
        after = None if query.cursor is None else read_cursor(query.cursor, digest, MAX_RANGE)
        started_at = time.perf_counter()
        made = self._vectors.of(query)
        if after is not None and after.model != made.model:
            raise other_search()
        embedded_at = time.perf_counter()
        backend = self._backends.choose(made.model, len(made.vector))
        target = Target(made.model, made.vector, wanted, query.exact, with_vectors=query.dedupe is not None)
        cuts = Cuts(query.min_score, query.within, query.dedupe, made.stored)
        hits, has_more = self._hits(backend, target, cuts, query, after)
        return SearchPage(
            model=made.model,
            backend=backend.name,
            hits=tuple(hits),
            next=_next(hits, after, digest, made.model) if has_more else None,
            took_ms={"embed": _ms(started_at, embedded_at), "search": _ms(embedded_at, time.perf_counter())},
        )

    def warm_up(self, model: str) -> None:
        """Load what a search of this model's vectors needs, so that the first search does not have to.

        Raises:
            SearchUnavailable: As in `search`.
        """
        dim = self._reader.dim(model)
        if dim is not None and self._backends.choose(model, dim) is self._backends.scan:
            self._backends.scan.snapshot(model, dim)

    def duplicates(
        self, wanted: Duplicates, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[DuplicateGroup]:
        """Return the groups of near-duplicates, each as soon as it is complete; close the iterator to stop.

        All vectors are loaded into memory first, with either backend.

        Args:
            wanted: Which groups.
            progress: Called now and then with the number of images compared so far, and of all images.

        Raises:
            InvalidSearch: The threshold or the limit is out of range, or the collection has vectors of several models
                and `wanted` names none.
            SearchUnavailable: There are more images than CLIPQUEUE_SCAN_MAX.
        """
        check_duplicates(wanted)
        model = wanted.model or self._only_model()
        dim = None if model is None else self._reader.dim(model)
        if model is None or dim is None:
            return iter(())
        batches = find_groups(self._backends.scan.snapshot(model, dim), wanted.threshold, progress)
        groups = (group for batch in batches for group in read_groups(batch, self._reader, model))
        return islice(groups, wanted.limit)

    def _only_model(self) -> str | None:
        models = self._reader.models()
        if len(models) > 1:
            raise InvalidSearch("model", f"the collection has vectors of several models, {models}: name one of them")
        return models[0] if models else None

    def _hits(
        self, backend: Backend, target: Target, cuts: Cuts, query: SearchQuery, after: Cursor | None
    ) -> tuple[list[Hit], bool]:
        """Return the hits of a page, and whether there are more."""
        offset = after.offset if after else 0
        page = Page(offset, min(query.limit, MAX_RANGE - offset), after.place if after else None)
        for attempt in range(_MAX_ATTEMPTS):
            wide = replace(page, limit=page.limit * _WIDER**attempt)
            found, has_more = find_page(backend, target, cuts, wide)
            documents = self._matching(found, target)
            gone = {key for group in found for key in group.ids()} - set(documents)
            groups, has_more = found[: page.limit], has_more or len(found) > page.limit
            if gone.isdisjoint(key for group in groups for key in group.ids()):
                break
            # Deleted or changed since they were read into memory, or into the index: others take their places.
            cuts = replace(cuts, left_out=cuts.left_out | gone)
        return [
            read_hit(group, documents, query.fields) for group in groups if group.best.document_id in documents
        ], has_more

    def _matching(self, groups: list[Group], target: Target) -> dict[BsonId, Document]:
        """Return the documents of groups, without those that have changed so that they are no hits."""
        found = self._reader.by_id([key for group in groups for key in group.ids()])
        return {
            key: document
            for key, document in found.items()
            if is_of_model(document, target.model) and matches_document(target.filter, document)
        }


def _next(hits: list[Hit], after: Cursor | None, digest: str, model: str) -> str | None:
    offset = (after.offset if after else 0) + len(hits)
    if not hits or offset >= MAX_RANGE:
        return None
    return Cursor(offset, digest, model, hits[-1].score, bson_id(hits[-1].image_id)).write()


def _ms(start: float, end: float) -> int:
    return round(1e3 * (end - start))
