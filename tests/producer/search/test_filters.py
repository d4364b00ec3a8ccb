"""Filters: what they match, on both backends, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pytest
from bson import Int64

from producer.search.candidates import Target
from producer.search.columns import Columns
from producer.search.errors import InvalidSearch
from producer.search.filters import matches_document, read_filter
from producer.search.mongo_filter import to_mongo
from producer.search.query import VECTOR_SEARCH, SearchQuery
from producer.search.search import ImageSearch
from producer.search.settings import SearchSettings
from tests.producer.search.conftest import SETTINGS
from tests.producer.search.filter_cases import (
    BY_STAND_IN,
    CASES,
    DOCUMENTS,
    FIELDS,
    NOT_BY_EMBEDDED,
    REFUSED,
    Document,
)
from tests.producer.search.photos import DIM, MODEL, FakeEmbed, photo, vector_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pymongo
    from pymongo.collection import Collection

from producer.search.index import SearchIndexes


@pytest.fixture(scope="module")
def album(embedded_client: pymongo.MongoClient[Document]) -> Iterator[Collection[Document]]:
    album = embedded_client["clipqueue"]["album_of_cases"]
    album.insert_many([photo(key, vector_of(key), **fields) for key, fields in DOCUMENTS.items()])
    yield album
    album.drop()


@pytest.fixture(scope="module", params=["scan", "vector_search"])
def backend(
    request: pytest.FixtureRequest, album: Collection[Document], atlas_client: pymongo.MongoClient[Document]
) -> Iterator[ImageSearch]:
    collection = album
    if request.param == "vector_search":
        collection = atlas_client["clipqueue"][album.name]
        SearchIndexes(collection, SETTINGS).create(DIM, FIELDS, "none")
    search = ImageSearch(collection, FakeEmbed(), SETTINGS)
    yield search
    search.close_backends()


@pytest.mark.parametrize("case", CASES)
def test_both_backends_find_what_a_filter_matches(backend: ImageSearch, case: str) -> None:
    """The backends themselves: a search also leaves out hits that do not match any more."""
    wanted, expected = CASES[case]
    chosen = backend._backends.choose(MODEL, DIM)
    target = Target(MODEL, vector_of("red"), read_filter(wanted, FIELDS), exact=False, with_vectors=False)
    if chosen.name == VECTOR_SEARCH:
        expected = BY_STAND_IN.get(case, expected)
    assert "".join(sorted(str(one.document_id) for one in chosen.best(target, 100).candidates)) == expected


@pytest.mark.parametrize("case", CASES)
def test_a_search_has_the_hits_that_match(backend: ImageSearch, case: str) -> None:
    wanted, expected = CASES[case]
    page = backend.search(SearchQuery(text="a red bicycle", filter=wanted))
    assert "".join(sorted(str(hit.image_id) for hit in page.hits)) == expected


@pytest.mark.parametrize("case", sorted(CASES.keys() - NOT_BY_EMBEDDED))
def test_find_agrees_where_the_embedded_server_compares_as_mongodb_does(album: Collection[Document], case: str) -> None:
    wanted, expected = CASES[case]
    found = album.find(to_mongo(read_filter(wanted, FIELDS)), {"_id": 1})
    assert "".join(sorted(document["_id"] for document in found)) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_a_filter_is_refused_with_the_path_of_the_part(case: str) -> None:
    wanted, param = REFUSED[case]
    with pytest.raises(InvalidSearch) as caught:
        read_filter(wanted, FIELDS)
    assert caught.value.param == param
    assert str(caught.value).startswith(f"{param}: ")


def test_a_uuid_and_a_large_integer_are_values() -> None:
    """As pymongo reads them; the embedded server gives a UUID back as bytes."""
    text, large = "123e4567-e89b-12d3-a456-426614174000", 2**53 + 1
    for given, stored, other in (
        ({"$uuid": text.upper()}, UUID(text), text),
        ({"$numberLong": str(large)}, Int64(large), large - 1),
    ):
        wanted = read_filter({"n": given}, FIELDS)
        assert (matches_document(wanted, {"n": stored}), matches_document(wanted, {"n": other})) == (True, False)
        assert to_mongo(wanted) == {"n": {"$eq": stored}}


def test_limits_are_inclusive() -> None:
    read_filter({"$or": [{"$or": [{"$or": [{"n": 1}]}]}]}, FIELDS)
    read_filter({"$or": [{"n": number} for number in range(32)]}, FIELDS)
    read_filter({"n": {"$in": list(range(256))}}, FIELDS)


def test_without_declared_fields_no_filter_is_possible() -> None:
    with pytest.raises(InvalidSearch, match="declares no field"):
        read_filter({"album": "x"}, SearchSettings().filter_fields)


def test_values_that_come_later_are_compared_too() -> None:
    """The result of a comparison is kept for each distinct value, and grows with them."""
    columns = Columns(("n",))
    wanted = read_filter({"n": {"$gt": 2}}, ("n",))

    def mask(*documents: dict[str, Any]) -> list[bool]:
        codes = np.array([columns.encode(document) for document in documents], np.int32)
        found: list[bool] = columns.mask(wanted, codes).tolist()
        return found

    assert mask({"n": 1}, {"n": 3}) == [False, True]
    assert mask({"n": 3}, {"n": 2}, {"n": 4}, {}) == [True, False, True, False]
