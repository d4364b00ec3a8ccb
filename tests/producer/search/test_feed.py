"""How the vectors in memory follow the collection."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bson import Decimal128

from producer.contract.errors import StoreUnavailable
from producer.search import blocks
from producer.search import feed as feed_module
from producer.search.blocks import Row, Table
from producer.search.candidates import Candidate, Target
from producer.search.columns import Columns
from producer.search.errors import SearchUnavailable
from producer.search.feed import Feed
from producer.search.filters import EVERYTHING, read_filter
from producer.search.reader import VectorReader
from producer.search.scan import LiveTable, nearest
from tests.producer.search.conftest import SETTINGS
from tests.producer.search.photos import DIM, MODEL, NOW, OTHER_MODEL, photo, unit, vector_of
from tests.support.mongo_commands import recorded_commands
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pymongo.collection import Collection

    from producer.search.blocks import Snapshot
    from producer.search.filters import Filter

Document = dict[str, Any]


@pytest.fixture
def feed(photos: Collection[Document]) -> Feed:
    return Feed(VectorReader(photos, SETTINGS.filter_fields), MODEL, DIM, SETTINGS)


def found(snapshot: Snapshot, vector: Any = None, wanted: Filter = EVERYTHING) -> list[str]:
    target = Target(MODEL, unit(1) if vector is None else vector, wanted, exact=False, with_vectors=False)
    return [str(candidate.document_id) for candidate in nearest(snapshot, target, 1000).candidates]


def touch(photos: Collection[Document], key: str, seconds: float, **fields: Any) -> None:
    """Replace a document as a worker does, `seconds` after NOW."""
    document = photo(key, **fields)
    document["embedding_job"]["finished_at"] = NOW + timedelta(seconds=seconds)
    photos.replace_one({"_id": key}, document, upsert=True)


def test_new_and_replaced_vectors_are_read(feed: Feed, photos: Collection[Document]) -> None:
    photos.insert_many([photo("a", unit(1)), photo("b", unit(1, 1)), photo("c", unit(0, 1))])
    feed.refresh()
    assert found(feed.snapshot) == ["a", "b", "c"]
    touch(photos, "a", 40, vector=unit(0, 1, 1))
    touch(photos, "d", 40, vector=unit(1, 0.5))
    touch(photos, "late", -5, vector=unit(1, 0.1))  # another worker's clock is behind
    feed.refresh()
    assert found(feed.snapshot) == ["late", "d", "b", "a", "c"]


def test_a_refresh_reads_no_vector_that_it_knows(photos: Collection[Document], stack: Any) -> None:
    import pymongo  # noqa: PLC0415

    photos.insert_many([photo(f"p{number}", unit(1, number)) for number in range(5)])
    with recorded_commands() as commands, pymongo.MongoClient[Document](stack.mongodb_uri, tz_aware=True) as client:
        feed = Feed(VectorReader(client["clipqueue"][photos.name], ()), MODEL, DIM, SETTINGS)
        feed.refresh()
        commands.clear()
        feed.refresh()
        touch(photos, "new", 1, vector=unit(1))
        feed.refresh()
        reads = [command["projection"] for command in commands if "find" in command and command["find"] == photos.name]
    with_vectors = [projection for projection in reads if "embedding" in projection]
    assert (len(reads), len(with_vectors)) == (3, 1)


def test_deletions_are_noticed_by_the_number_of_documents(feed: Feed, photos: Collection[Document]) -> None:
    photos.insert_many([photo("a", unit(1)), photo("b", unit(1, 1))])
    feed.refresh()
    photos.delete_one({"_id": "a"})
    feed.refresh()
    assert found(feed.snapshot) == ["b"]


def test_other_changes_are_noticed_by_the_check_of_all(
    feed: Feed, photos: Collection[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is deleted and one is added, a field changes, and another model replaces a vector."""
    keys = ("gone", "moved", "same", "other")
    photos.insert_many([photo(key, unit(1, number), n=1) for number, key in enumerate(keys)])
    feed.refresh()
    photos.delete_one({"_id": "gone"})
    photos.insert_one({"_id": "without a vector"})
    photos.update_one({"_id": "moved"}, {"$set": {"n": 2}})
    touch(photos, "other", 0, vector=unit(1), model=OTHER_MODEL)
    feed.refresh()
    assert found(feed.snapshot) == ["gone", "moved", "same", "other"], "it is not due yet"
    monkeypatch.setattr(feed_module, "CHECK_EVERY_S", -1.0)
    monkeypatch.setattr(feed_module, "_CHECK_SHARE", 0)
    feed.refresh()
    assert found(feed.snapshot) == ["moved", "same"]
    assert found(feed.snapshot, wanted=read_filter({"n": 2}, SETTINGS.filter_fields)) == ["moved"]
    assert found(feed.snapshot, wanted=read_filter({"n": 1}, SETTINGS.filter_fields)) == ["same"]


def test_a_date_in_the_future_hides_no_later_result(feed: Feed, photos: Collection[Document]) -> None:
    touch(photos, "future", 10**8, vector=unit(1))
    feed.refresh()
    document = photo("now", unit(1, 1))
    document["embedding_job"]["finished_at"] = datetime.now(UTC)
    photos.insert_one(document)
    feed.refresh()
    assert found(feed.snapshot) == ["future", "now"]


def test_odd_vectors_are_counted_and_said_once(
    feed: Feed, photos: Collection[Document], caplog: pytest.LogCaptureFixture
) -> None:
    photos.insert_many([photo("good", unit(1)), photo("short", [1.0]), photo("zero", [0.0] * DIM)])
    photos.insert_one(photo("long", 2 * unit(1, 2)))
    photos.insert_many([{**photo("x", unit(1)), "_id": no_id} for no_id in (7.5, datetime(2020, 1, 1, tzinfo=UTC))])
    with caplog.at_level(logging.WARNING):
        feed.refresh()
        feed.refresh()
    unusable, long = (record.message for record in caplog.records if record.name.startswith("producer."))
    assert unusable.startswith("2 images have a vector of another length")
    assert (
        long == "1 images have a vector that is not of unit length: searches use only its direction (for example long)"
    )
    touch(photos, "short", 1, vector=unit(1, 1))
    feed.refresh()
    assert found(feed.snapshot) == ["good", "short", "long"]


@pytest.mark.parametrize("nested", [[[1.0]] * DIM, [[1.0] * DIM], [[1.0, 2.0], [3.0, 4.0]]])
def test_a_list_of_lists_is_no_vector_and_hides_no_others(
    feed: Feed, photos: Collection[Document], nested: list[list[float]]
) -> None:
    photos.insert_many([photo("good", unit(1)), {**photo("nested", unit(1)), "embedding": nested}])
    feed.refresh()
    assert found(feed.snapshot) == ["good"]


def test_growth_beyond_the_maximum_is_an_error(photos: Collection[Document]) -> None:
    settings = replace(SETTINGS, scan_max=2)
    feed = Feed(VectorReader(photos, ()), MODEL, DIM, settings)
    photos.insert_many([photo("a", unit(1)), photo("b", unit(1, 1))])
    feed.refresh()
    touch(photos, "c", 1, vector=unit(1))
    with pytest.raises(SearchUnavailable, match="more than 2 images"):
        feed.refresh()


def test_a_collection_that_grew_much_is_not_read_into_memory(photos: Collection[Document]) -> None:
    feed = Feed(VectorReader(photos, ()), MODEL, DIM, replace(SETTINGS, scan_max=10))
    photos.insert_one(photo("a", unit(1)))
    feed.refresh()
    photos.insert_many([photo(f"p{number}", unit(1)) for number in range(2000)])
    with pytest.raises(SearchUnavailable, match="more than 10 images"):
        feed.refresh()
    assert len(feed._table) <= 501, "one page is read before they are counted"


def test_deleted_images_leave_room_for_others(photos: Collection[Document]) -> None:
    feed = Feed(VectorReader(photos, ()), MODEL, DIM, replace(SETTINGS, scan_max=2))
    photos.insert_many([photo("a", unit(1)), photo("b", unit(1, 1)), {"_id": "c"}, {"_id": "d"}])
    feed.refresh()
    photos.delete_many({"_id": {"$in": ["a", "b"]}})
    touch(photos, "c", 1, vector=unit(1))
    feed.refresh()
    assert found(feed.snapshot) == ["c"]


class Interrupted(VectorReader):
    """A connection that ends before everything was read."""

    def __init__(self, collection: Collection[Document], *, unread: str, has_vectors: bool) -> None:
        super().__init__(collection, SETTINGS.filter_fields)
        self._unread = unread
        self._has_vectors = has_vectors

    def jobs(self, query: Document) -> Iterator[list[Document]]:
        for page in super().jobs(query):
            yield [document for document in page if document["_id"] != self._unread]
            if self._has_vectors:
                raise StoreUnavailable("away")

    def vectors(self, query: Document) -> Iterator[list[Document]]:
        if not self._has_vectors:
            raise StoreUnavailable("away")
        return super().vectors(query)


def test_a_refresh_that_was_interrupted_is_made_up_for(
    feed: Feed, photos: Collection[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.insert_one(photo("a", unit(1)))
    feed.refresh()
    touch(photos, "unread", 60, vector=unit(1, 1))
    touch(photos, "newest", 3600, vector=unit(1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(feed, "_reader", Interrupted(photos, unread="unread", has_vectors=True))
        with pytest.raises(StoreUnavailable):
            feed.refresh()
    feed.refresh()
    assert found(feed.snapshot) == ["a", "unread", "newest"]


def test_a_vector_that_could_not_be_read_is_read_later_although_its_fields_are_known(
    feed: Feed, photos: Collection[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.insert_many([photo("a", unit(0, 1), n=1), photo("b", unit(1, 1), n=1)])
    feed.refresh()
    touch(photos, "a", -100, vector=unit(1), n=2)
    monkeypatch.setattr(feed_module, "CHECK_EVERY_S", -1.0)
    monkeypatch.setattr(feed_module, "_CHECK_SHARE", 0)
    with monkeypatch.context() as patch:
        patch.setattr(feed, "_reader", Interrupted(photos, unread="", has_vectors=False))
        with pytest.raises(StoreUnavailable):
            feed.refresh()
    feed.refresh()
    assert found(feed.snapshot) == ["a", "b"]


def test_values_that_no_image_has_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_SPARE_VALUES", 8)
    table = Table(DIM, ("n", "always"), block_rows=8)
    for step in range(20):
        table.put(Row(f"k{number}", unit(1), step, {"n": 100 * step + number, "always": 1}) for number in range(10))
        table.compact()
        table.publish()
        assert table.snapshot.columns.distinct() <= 2 * 10 + 8
        if step == 0:
            first = table.snapshot
        for number in range(10):
            only = read_filter({"n": 100 * step + number, "always": 1}, ("n", "always"))
            assert found(table.snapshot, wanted=only) == [f"k{number}"]
    assert found(first, wanted=read_filter({"n": 3}, ("n", "always"))) == ["k3"]


def test_values_that_are_no_number_are_one_value() -> None:
    columns = Columns(("n",))
    for value in (float("nan"), float("nan"), Decimal128("NaN"), Decimal128("sNaN")):
        columns.encode({"n": value})
    assert columns.distinct() == 1


def test_vectors_that_were_taken_out_of_memory_are_said_to_be_unavailable(feed: Feed) -> None:
    live = LiveTable(feed)
    live.close()
    with pytest.raises(SearchUnavailable, match="search again"):
        live.current()


def test_a_search_goes_on_with_the_last_vectors_while_a_refresh_runs(
    feed: Feed, photos: Collection[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.insert_one(photo("a", unit(1)))
    live = LiveTable(feed, refresh_every_s=0)
    try:
        assert found(live.current()) == ["a"]
        release, refresh = threading.Event(), feed.refresh

        def wait_and_refresh() -> None:
            release.wait(60)
            refresh()

        monkeypatch.setattr(feed, "refresh", wait_and_refresh)
        monkeypatch.setattr(live, "_took_s", 0.0)
        touch(photos, "b", 1, vector=unit(1, 1))
        assert found(live.current()) == ["a"]
        release.set()
        wait_for(lambda: found(live.current()) == ["a", "b"], "the refresh to end")
    finally:
        live.close()


def test_a_refresh_that_fails_is_tried_again(photos: Collection[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, scan_max=1)
    photos.insert_many([photo("a", unit(1)), photo("b", unit(1, 1))])
    live = LiveTable(Feed(VectorReader(photos, ()), MODEL, DIM, settings), refresh_every_s=0)
    try:
        with pytest.raises(SearchUnavailable):
            live.current()
        photos.delete_one({"_id": "a"})
        assert found(live.current()) == ["b"]
    finally:
        live.close()


def test_rows_are_right_after_many_changes() -> None:
    """Random changes, with small blocks, against a dictionary."""
    random = np.random.default_rng(7)
    table = Table(DIM, ("n",), block_rows=8)
    expected: dict[str, tuple[Any, int]] = {}
    for step in range(60):
        keys = [f"k{number}" for number in random.integers(0, 40, 6)]
        if step % 3 == 2:
            table.remove(keys)
            expected = {key: value for key, value in expected.items() if key not in keys}
        else:
            rows = {key: vector_of(f"{key} {step}") for key in keys}
            table.put(Row(key, vector, step, {"n": step}) for key, vector in rows.items())
            expected |= {key: (vector, step) for key, vector in rows.items()}
        table.compact()
        table.publish()
        blocks = table.snapshot.blocks
        assert table.ids() == set(expected)
        assert {key: table.version(key) for key in expected} == {key: step for key, (_, step) in expected.items()}
        assert sum(block.count for block in blocks) <= len(expected) / 0.75 + 2 * 8
        for block, index in table.snapshot.rows():
            vector, step_of = expected[str(block.ids[index])]
            assert np.array_equal(block.vectors[index], vector)
            only = read_filter({"n": step_of}, ("n",))
            assert table.snapshot.columns.mask(only, block.codes)[index]


def test_a_snapshot_stays_as_it_is() -> None:
    table = Table(DIM, (), block_rows=4)
    put(table, ("a", "b", "c", "d", "e"))
    table.publish()
    snapshot = table.snapshot
    before = found(snapshot)
    table.remove(["a", "b", "c"])
    put(table, ("d", "f", "g"))
    table.compact()
    table.publish()
    assert found(snapshot) == before
    assert sorted(found(table.snapshot)) == ["d", "e", "f", "g"]


def put(table: Table, keys: Iterable[str]) -> None:
    table.put(Row(key, vector_of(key), 0, {}) for key in keys)


def test_searches_in_other_threads_see_whole_rows() -> None:
    """While rows are replaced and blocks are copied, each hit has the score of a vector that the image had."""
    table = Table(DIM, ("n",), block_rows=16)
    keys = [f"k{number}" for number in range(40)]
    written = {key: [vector_of(f"{key} 0")] for key in keys}
    table.put(Row(key, vector[0], 0, {"n": 0}) for key, vector in written.items())
    table.publish()
    ended = threading.Event()
    errors: list[object] = []

    def is_of(candidate: Candidate) -> bool:
        vectors = written[str(candidate.document_id)]
        return any(candidate.vector is not None and np.array_equal(candidate.vector, vector) for vector in vectors)

    def search() -> None:
        target = Target(MODEL, unit(1), read_filter({"n": {"$gte": 0}}, ("n",)), exact=True, with_vectors=True)
        while not ended.is_set():
            candidates = nearest(table.snapshot, target, 100).candidates
            errors.extend(candidate for candidate in candidates if not is_of(candidate))
            if sorted(str(candidate.document_id) for candidate in candidates) != sorted(keys):
                errors.append(candidates)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for step in range(1, 40):
        for key in keys[step % 5 :: 5]:
            written[key].append(vector_of(f"{key} {step}"))
            table.put([Row(key, written[key][-1], step, {"n": step})])
        table.compact()
        table.publish()
    ended.set()
    for thread in threads:
        thread.join()
    assert errors == []
