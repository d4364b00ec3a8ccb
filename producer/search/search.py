"""Searches the images of one collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from producer.documents.connection import connect_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.collection import Collection

    from producer.contract.records import Document
    from producer.search.embed import Embed
    from producer.search.query import DuplicateGroup, Duplicates, SearchPage, SearchQuery
    from producer.search.settings import SearchSettings


class ImageSearch:
    """Searches the vectors of one collection. Safe to share between threads.

    Besides the errors that each method names, they raise StoreUnavailable if MongoDB does not answer.
    """

    def __init__(self, collection: Collection[Document], embed: Embed, settings: SearchSettings) -> None:
        self._collection = collection
        self._embed = embed
        self._settings = settings

    @classmethod
    def connect(cls, mongodb_uri: str, collection: str, embed: Embed, settings: SearchSettings) -> Self:
        """Return a search that connects on first use.

        Raises:
            ConfigurationError: The URI or the collection's name cannot be used.
        """
        return cls(connect_collection(mongodb_uri, collection), embed, settings)

    def close(self) -> None:
        """Stop the refresh in the background and close the connections; `embed` stays open."""
        raise NotImplementedError

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
        raise NotImplementedError

    def warm_up(self, model: str) -> None:
        """Load what a search of this model's vectors needs, so that the first search does not have to.

        Raises:
            SearchUnavailable: As in `search`.
        """
        raise NotImplementedError

    def duplicates(
        self, wanted: Duplicates, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[DuplicateGroup]:
        """Yield the groups of near-duplicates, each as soon as it is complete; close the iterator to stop.

        All vectors are loaded into memory, with either backend.

        Args:
            wanted: Which groups.
            progress: Called now and then with the number of images compared so far, and of all images.

        Raises:
            InvalidSearch: The threshold or the limit is out of range, or the collection has vectors of several models
                and `wanted` names none.
            SearchUnavailable: There are more images than CLIPQUEUE_SCAN_MAX.
        """
        raise NotImplementedError
