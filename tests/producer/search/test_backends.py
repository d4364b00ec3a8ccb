"""Which backend a search uses, and what `$vectorSearch` is asked."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.errors import StoreUnavailable
from producer.search import backends, vector_search
from producer.search.errors import SearchUnavailable
from producer.search.index import SearchIndexes
from producer.search.query import SCAN, VECTOR_SEARCH, SearchQuery
from tests.producer.search.conftest import SETTINGS
from tests.producer.search.filter_cases import FIELDS
from tests.producer.search.photos import DIM, MODEL, photo, unit, vector_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pymongo
    from pymongo.collection import Collection

    from producer.search.search import ImageSearch
    from tests.support.vector_search import VectorSearchServer

Document = dict[str, Any]
RED = SearchQuery(text="red")


@pytest.fixture
def on_atlas(photos: Collection[Document], atlas_client: pymongo.MongoClient[Document]) -> Collection[Document]:
    """`photos` with three images, on the server with vector search; there is no index."""
    photos.insert_many([photo(f"p{number}", vector_of(str(number))) for number in range(3)])
    return atlas_client["clipqueue"][photos.name]


@pytest.fixture(autouse=True)
def restored(atlas: VectorSearchServer) -> Iterator[None]:
    yield
    atlas.refuses, atlas.build_at_once = None, True
    atlas.stages.clear()


@pytest.mark.parametrize(
    "refusal",
    [
        (31082, "using Atlas Search commands requires additional configuration"),
        (6047401, "$vectorSearch stage is only allowed on MongoDB Atlas"),
        (59, "no such command: 'createSearchIndexes'"),
        (40324, "Unrecognized pipeline stage name: '$listSearchIndexes'"),
        (1, "Aggregation stage '$listSearchIndexes' not supported"),
    ],
)
def test_a_server_without_vector_search_is_scanned(
    atlas: VectorSearchServer,
    on_atlas: Collection[Document],
    open_search: Callable[..., ImageSearch],
    refusal: tuple[int, str],
) -> None:
    atlas.refuses = refusal
    page = open_search(on_atlas).search(RED)
    assert (page.backend, len(page.hits)) == (SCAN, 3)


def test_another_refusal_is_no_reason_to_scan(
    atlas: VectorSearchServer, on_atlas: Collection[Document], open_search: Callable[..., ImageSearch]
) -> None:
    atlas.refuses = (13, "not authorized on clipqueue to execute command")
    with pytest.raises(StoreUnavailable):
        open_search(on_atlas).search(RED)


def test_a_new_index_is_used_once_it_is_built(
    atlas: VectorSearchServer,
    on_atlas: Collection[Document],
    open_search: Callable[..., ImageSearch],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(backends, "_LOOK_EVERY_S", -1.0)
    search = open_search(on_atlas)
    assert search.search(RED).backend == SCAN
    atlas.build_at_once = False
    SearchIndexes(on_atlas, SETTINGS).create(DIM, FIELDS, "none")
    with caplog.at_level(logging.WARNING):
        first, second = search.search(RED), search.search(RED)
    assert (first.backend, second.backend) == (SCAN, SCAN)
    (said,) = [record.message for record in caplog.records if record.name == backends.__name__]
    assert said.startswith("the index 'clipqueue' is still being built (status BUILDING); until then, searches compare")
    atlas.finish_building()
    assert search.search(RED).backend == VECTOR_SEARCH
    SearchIndexes(on_atlas, SETTINGS).drop()
    assert search.search(RED).backend == SCAN


def test_searches_go_on_while_one_looks_for_the_index(
    photos: Collection[Document], open_search: Callable[..., ImageSearch], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.insert_one(photo("p", unit(1.0)))
    search = open_search(photos)
    search.search(RED)
    monkeypatch.setattr(backends, "_LOOK_EVERY_S", -1.0)
    looks, may_end = threading.Event(), threading.Event()

    def look(_: SearchIndexes) -> None:
        looks.set()
        assert may_end.wait(60)

    monkeypatch.setattr(SearchIndexes, "find", look)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(search.search, RED)
        assert looks.wait(60)
        try:
            assert [hit.image_id for hit in search.search(RED).hits] == ["p"]
        finally:
            may_end.set()
        assert first.result(60).backend == SCAN


def test_an_index_that_is_built_and_too_many_images_for_a_scan(
    atlas: VectorSearchServer, on_atlas: Collection[Document], open_search: Callable[..., ImageSearch]
) -> None:
    atlas.build_at_once = False
    SearchIndexes(on_atlas, SETTINGS).create(DIM, FIELDS, "none")
    with pytest.raises(SearchUnavailable, match=r"still being built .* more than 2 images \(CLIPQUEUE_SCAN_MAX\)"):
        open_search(on_atlas, replace(SETTINGS, scan_max=2)).search(RED)


def test_an_index_for_another_length_is_an_error(
    on_atlas: Collection[Document], open_search: Callable[..., ImageSearch]
) -> None:
    SearchIndexes(on_atlas, SETTINGS).create(DIM + 1, FIELDS, "none")
    with pytest.raises(SearchUnavailable, match=f"for vectors of length {DIM + 1}, but {MODEL} gives {DIM}"):
        open_search(on_atlas).search(RED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"similarity": "euclidean"}, "compares vectors by euclidean"),
        ({"path": "other"}, "does not cover the field `embedding`"),
    ],
)
def test_an_index_that_does_not_fit_is_not_used(
    atlas: VectorSearchServer,
    on_atlas: Collection[Document],
    open_search: Callable[..., ImageSearch],
    caplog: pytest.LogCaptureFixture,
    change: Document,
    message: str,
) -> None:
    SearchIndexes(on_atlas, SETTINGS).create(DIM, FIELDS, "none")
    atlas.indexes["clipqueue", on_atlas.name, "clipqueue"].vector.update(change)
    assert open_search(on_atlas).search(RED).backend == SCAN
    assert message in caplog.text


def test_an_index_without_a_declared_field_is_not_used(
    on_atlas: Collection[Document], open_search: Callable[..., ImageSearch], caplog: pytest.LogCaptureFixture
) -> None:
    SearchIndexes(on_atlas, SETTINGS).create(DIM, ("album",), "none")
    assert open_search(on_atlas, replace(SETTINGS, filter_fields=("album",))).search(RED).backend == VECTOR_SEARCH
    assert open_search(on_atlas).search(RED).backend == SCAN
    assert "lacks the filter field n, tags" in caplog.text


def test_the_index_is_found_by_its_name(
    on_atlas: Collection[Document], open_search: Callable[..., ImageSearch]
) -> None:
    named = replace(SETTINGS, index="photos")
    SearchIndexes(on_atlas, named).create(DIM, FIELDS, "none")
    assert open_search(on_atlas, named).search(RED).backend == VECTOR_SEARCH
    assert open_search(on_atlas).search(RED).backend == SCAN


def test_few_images_are_all_compared_and_many_are_estimated(
    atlas: VectorSearchServer,
    indexed: Collection[Document],
    on_atlas: Collection[Document],
    open_search: Callable[..., ImageSearch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_search(indexed).search(RED)
    monkeypatch.setattr(vector_search, "_EXACT_BELOW", 3)
    many = open_search(indexed)
    many.search(replace(RED, limit=10))
    many.search(replace(RED, exact=True))
    many.search(replace(RED, limit=900))
    numbers = [(stage["limit"], stage.get("exact"), stage.get("numCandidates")) for stage in atlas.stages]
    assert numbers == [(25, True, None), (11, None, 220), (25, True, None), (901, None, 10_000)]
    assert atlas.stages[0]["filter"] == {"embedding_job.model": MODEL}


def test_estimates_have_the_same_hits_as_the_scan(
    photos: Collection[Document],
    indexed: Collection[Document],
    open_search: Callable[..., ImageSearch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stand-in is exact, so what it is asked decides: a missing filter or a cut list would show."""
    monkeypatch.setattr(vector_search, "_EXACT_BELOW", 0)
    photos.insert_many([photo(f"p{number:02}", vector_of(str(number % 30)), n=number % 3) for number in range(60)])
    photos.insert_many([photo(f"o{number}", vector_of(str(number)), "other/model") for number in range(9)])
    for query in (RED, replace(RED, dedupe=0.99), replace(RED, filter={"n": 1}, within=0.3)):
        pages = [open_search(collection).search(replace(query, limit=7)) for collection in (photos, indexed)]
        assert pages[0].hits == pages[1].hits
        assert pages[0].next == pages[1].next


def test_the_scan_refuses_more_images_than_it_may_hold(
    photos: Collection[Document], open_search: Callable[..., ImageSearch]
) -> None:
    photos.insert_many([photo(f"p{number}", unit(1, number)) for number in range(3)])
    photos.insert_many([{"_id": f"w{number}"} for number in range(9)])
    assert len(open_search(photos, replace(SETTINGS, scan_max=3)).search(RED).hits) == 3
    with pytest.raises(SearchUnavailable, match=r"more than 2 images have a vector.*clipqueue index create"):
        open_search(photos, replace(SETTINGS, scan_max=2)).search(RED)


def test_a_warm_search_loads_nothing_more(
    photos: Collection[Document], open_search: Callable[..., ImageSearch], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.insert_one(photo("one", unit(1)))
    search = open_search(photos)
    search.warm_up(MODEL)
    search.warm_up("a model without vectors")
    monkeypatch.setattr("producer.search.feed.Feed.refresh", lambda _: pytest.fail("it was loaded again"))
    assert len(search.search(RED).hits) == 1


def test_the_vectors_of_two_models_at_most_are_in_memory(
    photos: Collection[Document], open_search: Callable[..., ImageSearch]
) -> None:
    photos.insert_many([photo(model, unit(1), model) for model in ("one", "two", "three")])
    search = open_search(photos)
    for model in ("one", "two", "three", "one"):
        search.warm_up(model)
    assert [model for model, _ in search._backends.scan._live] == ["three", "one"]
