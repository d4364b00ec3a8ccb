"""Fixtures for tests of the search: a collection of their own, and a server with vector search."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pymongo
import pytest

from producer.search.index import SearchIndexes
from producer.search.search import ImageSearch
from producer.search.settings import SearchSettings
from tests.producer.search.filter_cases import FIELDS
from tests.producer.search.photos import DIM, FakeEmbed
from tests.support.vector_search import VectorSearchServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymongo.collection import Collection

    from producer.local.stack import Stack

Document = dict[str, Any]
OpenSearch = "Callable[..., ImageSearch]"

SETTINGS = SearchSettings(filter_fields=FIELDS)


@pytest.fixture(scope="module")
def atlas(stack: Stack) -> Iterator[VectorSearchServer]:
    """A server with vector search in front of the session's MongoDB."""
    parts = urlsplit(stack.mongodb_uri)
    with VectorSearchServer((str(parts.hostname), int(parts.port or 0))) as server:
        yield server


@pytest.fixture(scope="module")
def atlas_client(atlas: VectorSearchServer) -> Iterator[pymongo.MongoClient[Document]]:
    with pymongo.MongoClient[Document](atlas.uri, tz_aware=True) as client:
        yield client


@pytest.fixture(scope="module")
def embedded_client(stack: Stack) -> Iterator[pymongo.MongoClient[Document]]:
    with pymongo.MongoClient[Document](stack.mongodb_uri, tz_aware=True) as client:
        yield client


@pytest.fixture
def photos(embedded_client: pymongo.MongoClient[Document]) -> Iterator[Collection[Document]]:
    """An empty collection."""
    photos = embedded_client["clipqueue"][f"photos_{uuid.uuid4().hex[:8]}"]
    yield photos
    photos.drop()


@pytest.fixture
def indexed(photos: Collection[Document], atlas_client: pymongo.MongoClient[Document]) -> Collection[Document]:
    """The same collection on the server with vector search, with an index."""
    indexed = atlas_client["clipqueue"][photos.name]
    SearchIndexes(indexed, SETTINGS).create(DIM, FIELDS, "none")
    return indexed


@pytest.fixture
def embed() -> FakeEmbed:
    return FakeEmbed()


@pytest.fixture
def open_search(embed: FakeEmbed) -> Iterator[Callable[..., ImageSearch]]:
    """A function that returns a search of a collection; it is closed after the test."""
    opened: list[ImageSearch] = []

    def open_one(collection: Collection[Document], settings: SearchSettings = SETTINGS) -> ImageSearch:
        opened.append(ImageSearch(collection, embed, settings))
        return opened[-1]

    yield open_one
    for search in opened:
        search.close_backends()


@pytest.fixture(params=["scan", "vector_search"])
def search(
    request: pytest.FixtureRequest, photos: Collection[Document], open_search: Callable[..., ImageSearch]
) -> ImageSearch:
    """A search of `photos` with each of the two backends."""
    if request.param == "scan":
        return open_search(photos)
    return open_search(request.getfixturevalue("indexed"))
