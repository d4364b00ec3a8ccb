"""What a search finds, on both backends: hits, scores, combinations, cuts, near-duplicates and pages."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bson import Binary, ObjectId
from bson.binary import BinaryVectorDtype

from producer.contract.errors import NoWorker
from producer.contract.ids import ObjectIdRef
from producer.search.errors import InvalidSearch, OtherModel, UnknownImage
from producer.search.query import SearchPage, SearchQuery, Weights
from tests.producer.search.photos import DIM, MODEL, OTHER_MODEL, FakeEmbed, photo, unit, vector_of

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from producer.search.search import ImageSearch

Document = dict[str, Any]

RED = SearchQuery(text="red")


def ids(page: SearchPage) -> list[str]:
    return [str(hit.image_id) for hit in page.hits]


def read_pages(search: ImageSearch, query: SearchQuery, most: int = 100) -> list[SearchPage]:
    """Return all pages of a search."""
    pages = [search.search(query)]
    while pages[-1].next is not None and len(pages) < most:
        pages.append(search.search(replace(query, cursor=pages[-1].next)))
    return pages


@pytest.fixture
def many(photos: Collection[Document]) -> dict[str, Any]:
    """60 images with random vectors: the vectors by id."""
    vectors = {f"photo-{number:02}": vector_of(f"photo {number}") for number in range(60)}
    photos.insert_many([photo(key, vector) for key, vector in vectors.items()])
    return vectors


def test_hits_are_the_nearest_vectors_with_their_cosine(search: ImageSearch, many: dict[str, Any]) -> None:
    page = search.search(replace(RED, limit=10))
    cosines = {key: float(vector @ vector_of("red")) for key, vector in many.items()}
    assert ids(page) == sorted(cosines, key=lambda key: -cosines[key])[:10]
    assert [hit.score for hit in page.hits] == pytest.approx([cosines[key] for key in ids(page)], abs=2e-6)
    assert page.model == MODEL
    assert set(page.took_ms) == {"embed", "search"}


def test_a_picture_is_embedded_from_its_url_or_its_bytes(
    search: ImageSearch, many: dict[str, Any], embed: FakeEmbed
) -> None:
    for image in ("http://host/photo 1.jpg".replace(" ", "%20"), b"the bytes of a picture"):
        embed.vectors[repr(image)] = many["photo-07"]
        assert ids(search.search(SearchQuery(image=image, limit=1))) == ["photo-07"]
        assert embed.asked[-1] == (image, None)


def test_a_stored_image_is_searched_without_the_model_and_is_no_hit(
    search: ImageSearch, photos: Collection[Document], embed: FakeEmbed
) -> None:
    photos.insert_many([photo("here", unit(1)), photo("near", unit(1, 0.1)), photo("far", unit(0, 1))])
    page = search.search(SearchQuery(like=("here",)))
    assert ids(page) == ["near", "far"]
    assert embed.asked == []


def test_object_ids_are_found_by_their_hex_digits(search: ImageSearch, photos: Collection[Document]) -> None:
    one, other, text = ObjectId(), ObjectId(), str(ObjectId())
    photos.insert_many([photo(one, unit(1)), photo(other, unit(1, 1)), photo(text, unit(0, 1))])
    for like in (str(one), ObjectIdRef(str(one))):
        page = search.search(SearchQuery(like=(like,)))
        assert [hit.image_id for hit in page.hits] == [ObjectIdRef(str(other)), text]
    assert len(search.search(SearchQuery(like=(text,))).hits) == 2
    with pytest.raises(UnknownImage):
        search.search(SearchQuery(like=(ObjectIdRef(text),)))


def test_parts_are_weighted_and_subtracted(search: ImageSearch, many: dict[str, Any], embed: FakeEmbed) -> None:
    """The vector is that of the formula: the sum of w * v, less 0.5 times the sum of the `not` parts."""
    query = SearchQuery(
        text="red",
        image="http://host/x.jpg",
        like=("photo-01", "photo-02"),
        not_text=("drawing",),
        not_like=("photo-03",),
        weights=Weights(text=2, image=0.5, like=0.25),
        limit=5,
    )
    picture = vector_of(repr("http://host/x.jpg"))
    liked = many["photo-01"] + many["photo-02"]
    wanted = 2 * vector_of("red") + 0.5 * picture + 0.25 * liked - 0.5 * (vector_of("drawing") + many["photo-03"])
    cosines = {key: float(vector @ wanted) / float(np.linalg.norm(wanted)) for key, vector in many.items()}
    named = {"photo-01", "photo-02", "photo-03"}
    best = sorted(cosines.keys() - named, key=lambda key: -cosines[key])[:5]
    page = search.search(query)
    assert ids(page) == best
    assert [hit.score for hit in page.hits] == pytest.approx([cosines[key] for key in best], abs=2e-6)
    assert all(model == MODEL for _, model in embed.asked), "a stored image decides which model embeds the rest"


def test_many_deleted_images_hide_no_others(
    search: ImageSearch, photos: Collection[Document], embed: FakeEmbed
) -> None:
    """Memory does not know yet that the nearest 150 of 200 images have no vector any more."""
    embed.vectors["red"] = unit(1)
    photos.insert_many([photo(f"p{number:03}", unit(1, number / 100)) for number in range(200)])
    search.search(RED)
    deleted = {"$set": {"embedding_job": {"status": "failed"}}, "$unset": {"embedding": ""}}
    photos.update_many({"_id": {"$lt": "p150"}}, deleted)
    pages = read_pages(search, replace(RED, limit=20))
    assert [key for page in pages for key in ids(page)] == [f"p{number:03}" for number in range(150, 200)]


def test_pages_of_equal_images_have_each_once(
    search: ImageSearch, photos: Collection[Document], embed: FakeEmbed
) -> None:
    embed.vectors["red"] = unit(1)
    keys = [f"p{number * 7 % 60:02}" for number in range(60)]
    photos.insert_many([photo(key, unit(1)) for key in keys])
    pages = read_pages(search, replace(RED, limit=10))
    assert [key for page in pages for key in ids(page)] == sorted(keys)


def test_parts_that_cancel_each_other_out_are_refused(search: ImageSearch, many: dict[str, Any]) -> None:
    query = SearchQuery(text="red", not_text=("red",), weights=Weights(not_=1))
    with pytest.raises(InvalidSearch, match="cancel each other out"):
        search.search(query)


def test_an_unknown_image_is_named(search: ImageSearch, photos: Collection[Document]) -> None:
    photos.insert_one({"_id": "waiting", "embedding_job": {"status": "pending"}})
    for query in (SearchQuery(like=("nobody",)), SearchQuery(text="red", not_like=("nobody",))):
        with pytest.raises(UnknownImage, match="no document has the id 'nobody'") as caught:
            search.search(query)
        assert caught.value.image_id == "nobody"
    with pytest.raises(UnknownImage, match="'waiting' has no vector yet"):
        search.search(SearchQuery(like=("waiting",)))


def test_vectors_of_two_models_are_never_compared(
    search: ImageSearch, photos: Collection[Document], embed: FakeEmbed
) -> None:
    photos.insert_many(
        [photo("old", unit(1), OTHER_MODEL), photo("new", unit(1)), photo("old-2", unit(1), OTHER_MODEL)]
    )
    assert ids(search.search(RED)) == ["new"]
    assert ids(search.search(SearchQuery(like=("old",)))) == ["old-2"]
    for query in (
        SearchQuery(like=("old", "new")),
        SearchQuery(like=("old",), not_like=("new",)),
        SearchQuery(like=("old",), model=MODEL),
        SearchQuery(like=("old",), text="red"),  # no worker runs the other model
    ):
        with pytest.raises(OtherModel, match="vectors of two models cannot be compared"):
            search.search(query)
    embed.models = (MODEL, OTHER_MODEL)
    assert ids(search.search(SearchQuery(like=("old",), text="red"))) == ["old-2"]
    embed.models = ()
    with pytest.raises(NoWorker):
        search.search(SearchQuery(like=("old",), text="red"))


def test_an_image_whose_last_job_failed_or_waits_keeps_its_vector(
    search: ImageSearch, photos: Collection[Document]
) -> None:
    for status in ("done", "failed", "pending"):
        document = photo(status, unit(1))
        document["embedding_job"]["status"] = status
        photos.insert_one(document)
    photos.insert_one({"_id": "never", "embedding_job": {"status": "failed"}})
    assert sorted(ids(search.search(RED))) == ["done", "failed", "pending"]


def test_vectors_may_be_binary(search: ImageSearch, photos: Collection[Document]) -> None:
    """The embedded server returns a BSON vector as bytes without its subtype."""
    binary = Binary.from_vector(unit(1).tolist(), BinaryVectorDtype.FLOAT32)
    photos.insert_many([photo("binary", binary), photo("array", unit(1, 1))])
    page = search.search(SearchQuery(like=("binary",)))
    assert {hit.image_id: hit.score for hit in page.hits} == {"array": pytest.approx(0.5**0.5, abs=2e-6)}
    assert ids(search.search(SearchQuery(like=("array",)))) == ["binary"]


def test_vectors_that_cannot_be_compared_are_left_out(search: ImageSearch, photos: Collection[Document]) -> None:
    broken = [[1.0], [], [0.0] * DIM, ["x"] * DIM, {"a": 1}, "vector", b"", b"\x27\x00abc", [None] * DIM]
    photos.insert_many([photo(f"broken-{number}", vector) for number, vector in enumerate(broken)])
    photos.insert_many([photo("long", 40 * unit(1, 1)), photo("good", unit(1))])
    page = search.search(SearchQuery(text="red", min_score=-1))
    assert {hit.image_id: hit.score for hit in page.hits} == {
        "good": pytest.approx(float(unit(1) @ vector_of("red")), abs=2e-6),
        "long": pytest.approx(float(unit(1, 1) @ vector_of("red")), abs=2e-6),
    }


def test_only_declared_fields_are_returned_with_the_url(search: ImageSearch, photos: Collection[Document]) -> None:
    fields: Document = {
        "album": "summer",
        "camera": {"model": "X100", "serial": 7},
        "secret": "x",
        "url": "http://host/own.jpg",
    }
    photos.insert_one(photo("one", unit(1), **fields))
    (hit,) = search.search(replace(RED, fields=("album", "camera.model", "n"))).hits
    assert hit.fields == {"album": "summer", "camera.model": "X100"}
    assert hit.url == "http://host/one.jpg"
    for field in ("secret", "camera", "camera.serial", "embedding_job.url", "embedding"):
        with pytest.raises(InvalidSearch, match="CLIPQUEUE_FILTER_FIELDS"):
            search.search(replace(RED, fields=(field,)))


def test_the_url_of_the_document_is_used_where_none_was_enqueued(
    search: ImageSearch, photos: Collection[Document]
) -> None:
    document = photo("one", unit(1), url="http://host/own.jpg")
    del document["embedding_job"]["url"]
    photos.insert_one(document)
    assert search.search(RED).hits[0].url == "http://host/own.jpg"


def test_low_scores_are_cut_off(search: ImageSearch, photos: Collection[Document]) -> None:
    photos.insert_many([photo(f"at {cosine}", unit(cosine, (1 - cosine**2) ** 0.5)) for cosine in (0.9, 0.8, 0.5, 0.1)])
    photos.insert_one(photo("here", unit(1)))
    query = SearchQuery(like=("here",))
    assert ids(search.search(replace(query, min_score=0.5))) == ["at 0.9", "at 0.8", "at 0.5"]
    assert ids(search.search(replace(query, min_score=0.501))) == ["at 0.9", "at 0.8"]
    assert ids(search.search(replace(query, within=0.1))) == ["at 0.9", "at 0.8"]
    assert ids(search.search(replace(query, within=0.0))) == ["at 0.9"]
    assert ids(search.search(replace(query, within=0.5, min_score=0.6))) == ["at 0.9", "at 0.8"]
    assert search.search(replace(query, min_score=0.95)).hits == ()


def test_near_duplicates_are_folded_and_the_page_is_filled(search: ImageSearch, photos: Collection[Document]) -> None:
    """Of each scene there are three images, and only the best one is a hit."""
    for scene in range(8):
        base = unit(10, *(0.0,) * scene, 8 - scene)
        shifts = ((number, base + 1e-3 * number * unit(*(0.0,) * 12, 1)) for number in range(3))
        photos.insert_many([photo(f"{scene}-{number}", vector) for number, vector in shifts])
    photos.insert_one(photo("here", unit(1)))
    query = SearchQuery(like=("here",), limit=3, dedupe=0.999)
    pages = read_pages(search, query)
    found = [hit for page in pages for hit in page.hits]
    assert [len(page.hits) for page in pages] == [3, 3, 2]
    assert [str(hit.image_id) for hit in found] == [f"{scene}-0" for scene in reversed(range(8))]
    assert all(hit.duplicates == (f"{str(hit.image_id)[0]}-1", f"{str(hit.image_id)[0]}-2") for hit in found)
    assert search.search(replace(query, dedupe=None)).hits[0].duplicates == ()


@pytest.mark.parametrize("dedupe", [None, 0.9])
def test_pages_have_every_hit_once(search: ImageSearch, photos: Collection[Document], dedupe: float | None) -> None:
    """Also where many images have one score, and where near-duplicates are folded."""
    same = [photo(f"same-{number:02}", unit(1, 1)) for number in range(17)]
    ids_of_one = [ObjectId() for _ in range(5)]
    near = [photo(key, unit(1, 0, 0.5)) for key in ids_of_one]
    others = [photo(f"other-{number:02}", vector_of(f"other {number}")) for number in range(20)]
    photos.insert_many([*others[:10], *same, *near, *others[10:], photo("here", unit(1))])
    pages = read_pages(search, SearchQuery(like=("here",), limit=4, dedupe=dedupe))
    seen = [key for page in pages for hit in page.hits for key in (hit.image_id, *hit.duplicates)]
    assert len(seen) == len(set(seen)) == 42
    assert {str(key) for key in seen} == {*(str(one["_id"]) for one in (*same, *near, *others))}
    scores = [hit.score for page in pages for hit in page.hits]
    assert scores == sorted(scores, reverse=True)
    if dedupe is None:
        assert [len(page.hits) for page in pages] == [4] * 10 + [2]
    else:
        assert sorted(len(hit.duplicates) for page in pages for hit in page.hits)[-2:] == [4, 16]


def test_pages_go_on_after_a_hit_is_deleted(search: ImageSearch, photos: Collection[Document], many: Any) -> None:
    first = search.search(replace(RED, limit=10))
    photos.delete_many({"_id": {"$in": [str(hit.image_id) for hit in first.hits]}})
    second = search.search(replace(RED, limit=60, cursor=first.next))
    assert sorted([*ids(first), *ids(second)]) == sorted(many)


def test_deleted_and_changed_images_are_no_hits(search: ImageSearch, photos: Collection[Document]) -> None:
    """They may still be in memory, or in the index; the page is filled with others."""
    photos.insert_many([photo(f"p{number}", unit(1, number)) for number in range(6)])
    photos.insert_one(photo("here", unit(1)))
    query = SearchQuery(like=("here",), limit=2)
    assert ids(search.search(query)) == ["p0", "p1"]
    photos.delete_one({"_id": "p0"})
    photos.update_one({"_id": "p2"}, {"$set": {"embedding_job": {"status": "done", "model": OTHER_MODEL}}})
    assert ids(search.search(query)) == ["p1", "p3"]


def test_a_hit_matches_its_filter_as_it_is_now(search: ImageSearch, photos: Collection[Document]) -> None:
    """The fields in memory may be minutes old, and the index lags too."""
    photos.insert_many([photo(f"p{number}", unit(1, number), public=True) for number in range(4)])
    query = SearchQuery(like=("p0",), limit=2, filter={"public": True})
    assert ids(search.search(query)) == ["p1", "p2"]
    photos.update_one({"_id": "p1"}, {"$set": {"public": False}})
    assert ids(search.search(query)) == ["p2", "p3"]


def test_a_cursor_is_only_for_its_search(search: ImageSearch, many: dict[str, Any], embed: FakeEmbed) -> None:
    cursor = search.search(replace(RED, limit=10)).next
    assert cursor is not None
    assert len(search.search(replace(RED, limit=5, cursor=cursor)).hits) == 5, "the limit may change"
    others = (
        SearchQuery(text="blue"),
        replace(RED, filter={"n": 1}),
        replace(RED, not_text=("x",)),
        replace(RED, min_score=0.0),
        replace(RED, dedupe=0.9),
        replace(RED, weights=Weights(text=2)),
    )
    for other in others:
        with pytest.raises(InvalidSearch, match="belongs to another search"):
            search.search(replace(other, cursor=cursor))
    embed.models = (OTHER_MODEL,)
    with pytest.raises(InvalidSearch, match="belongs to another search"):
        search.search(replace(RED, cursor=cursor))


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "e30", "WzFd", "W10", "WzEsMiwzLDQsNV0", "\ud800", "A" * 9000])
def test_an_unreadable_cursor_is_refused(search: ImageSearch, cursor: str) -> None:
    with pytest.raises(InvalidSearch, match="is not the `next` of an earlier page"):
        search.search(replace(RED, cursor=cursor))


def test_a_collection_without_vectors_has_no_hits(search: ImageSearch, photos: Collection[Document]) -> None:
    photos.insert_one({"_id": "waiting", "url": "http://host/a.jpg"})
    page = search.search(RED)
    assert (page.hits, page.next) == ((), None)
