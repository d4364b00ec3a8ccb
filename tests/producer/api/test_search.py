"""`/v1/search` and `/v1/duplicates`. tests/producer/search has the searches themselves."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from tests.producer.api.conftest import MODEL
from tests.support.pictures import small_jpeg
from tests.support.shop import IDS, OID, running_shop
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producer.local.stack import Stack
    from tests.support.api import Api
    from tests.support.servers import ImageServer


@pytest.fixture(scope="module")
def shop(stack: Stack, worker_log: Path) -> Iterator[Api]:
    with running_shop(stack) as shop:
        yield shop


def search(api: Api, body: Any) -> Any:
    answer = api.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_text_finds_images_with_their_scores(shop: Api) -> None:
    page = search(shop, {"text": "a red bicycle", "fields": ["album", "taken_at"]})
    assert (page["object"], page["model"], page["backend"], page["next"]) == ("list", MODEL, "scan", None)
    assert {hit["id"] for hit in page["data"]} == set(IDS)
    scores = [hit["score"] for hit in page["data"]]
    assert scores == sorted(scores, reverse=True)
    assert page["took_ms"].keys() >= {"embed", "search"}
    [first] = [hit for hit in page["data"] if hit["id"] == "photo/1"]
    assert first["url"] == "https://example.com/0.jpg"
    assert first["fields"] == {"album": "summer", "taken_at": "2026-01-01T00:00:00.000Z"}


def test_the_url_does_what_the_body_does(shop: Api) -> None:
    answer = shop.get("/v1/search", params={"q": "a red bicycle", "limit": 2, "fields": "album"})
    page = search(shop, {"text": "a red bicycle", "limit": 2, "fields": ["album"]})
    assert answer.json()["data"] == page["data"]
    more = shop.get("/v1/search", params={"q": "a red bicycle", "limit": 2, "cursor": page["next"]}).json()
    assert {hit["id"] for hit in [*page["data"], *more["data"]]} == set(IDS)
    assert answer.headers["cache-control"] == "private, max-age=30"
    headers = {"if-none-match": answer.headers["etag"]}
    again = shop.get("/v1/search", params={"q": "a red bicycle", "limit": 2, "fields": "album"}, headers=headers)
    assert (again.status_code, again.content) == (304, b"")


def test_a_picture_finds_itself(shop: Api, images: ImageServer) -> None:
    picture = small_jpeg(2)
    as_base64 = base64.b64encode(picture).decode()
    url = images.add("/a.jpg", picture)
    for image in (url, as_base64, f"data:image/jpeg;base64,{as_base64}", {"url": url}, {"bytes": as_base64}):
        [hit] = search(shop, {"image": image, "limit": 1})["data"]
        assert hit["id"] == "photo-3"
        assert hit["score"] == pytest.approx(1, abs=1e-3)


def test_stored_images_are_examples_for_and_against(shop: Api) -> None:
    [hit] = search(shop, {"like": "photo/1", "limit": 1})["data"]
    assert (hit["id"], hit["score"]) == ("photo-2", pytest.approx(1, abs=1e-4))
    assert search(shop, {"image": {"id": "photo/1"}, "limit": 1})["data"] == [hit]
    assert shop.get("/v1/search", params={"like": "photo/1", "limit": 1}).json()["data"] == [hit]
    assert len(search(shop, {"like": {"$oid": str(OID)}})["data"]) == 3
    plain = {hit["id"]: hit["score"] for hit in search(shop, {"text": "a cat"})["data"]}
    unlike = {
        hit["id"]: hit["score"] for hit in search(shop, {"text": "a cat", "not": ["a dog", {"id": "photo-3"}]})["data"]
    }
    assert "photo-3" not in unlike
    assert unlike != plain


def test_a_filter_and_a_threshold_leave_hits_out(shop: Api) -> None:
    body = {"text": "a cat", "filter": {"album": "summer", "taken_at": {"$gte": {"$date": "2026-01-02T00:00:00Z"}}}}
    assert [hit["id"] for hit in search(shop, body)["data"]] == ["photo-2"]
    params = {"q": "a cat", "filter": '{"album": "winter"}'}
    assert {hit["id"] for hit in shop.get("/v1/search", params=params).json()["data"]} == {"photo-3", str(OID)}
    assert search(shop, {"text": "a cat", "min_score": 1})["data"] == []


def test_duplicates_are_folded_or_listed(shop: Api) -> None:
    hits = search(shop, {"text": "a cat", "dedupe": 0.999})["data"]
    assert sorted(hit["duplicates"] for hit in hits if hit["id"].startswith("photo/") or hit["id"] == "photo-2") in (
        [["photo-2"]],
        [["photo/1"]],
    )
    found = shop.get("/v1/duplicates", params={"threshold": 0.999}).json()
    assert found["complete"] is True
    assert [{one["id"] for one in group["images"]} for group in found["data"]] == [{"photo/1", "photo-2"}]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, None),
        ({"text": ""}, 400, "text"),
        ({"text": 5}, 400, "text"),
        ({"text": "a\ud800"}, 400, "text"),
        ({"image": "a cat"}, 400, "image"),
        ({"image": {"text": "a cat"}}, 400, "image"),
        ({"like": "no-such-image"}, 404, "like"),
        ({"like": {"$oid": "x"}}, 400, "like"),
        ({"like": ["photo-2"] * 17}, 400, "like"),
        ({"text": "a", "not": [{"id": 7.5}]}, 400, "not"),
        ({"text": "a", "limit": 0}, 400, "limit"),
        ({"text": "a", "limit": 1001}, 400, "limit"),
        ({"text": "a", "cursor": "nonsense"}, 400, "cursor"),
        ({"text": "a", "filter": {"$where": "1"}}, 400, None),
        ({"text": "a", "filter": {"secret": 1}}, 400, None),
        ({"text": "a", "filter": {"album": {"$gt": 10**30}}}, 400, None),
        ({"text": "a", "fields": ["secret"]}, 400, None),
        ({"text": "a", "min_score": 2}, 400, "min_score"),
        ({"text": "a", "weights": {"text": 1000}}, 400, "weights.text"),
        ({"text": "a", "model": "other/model"}, 404, "model"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused(shop: Api, body: Any, status: int, param: str | None) -> None:
    answer = shop.post("/v1/search", json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert param in (None, error["param"])


@pytest.mark.parametrize(
    "params",
    [
        {"q": "a", "filter": "{"},
        {"q": "a", "filter": "[]"},
        {"q": "a", "limit": "x"},
        {"q": "a", "min_score": "nan"},
        {},
    ],
)
def test_a_wrong_url_is_refused(shop: Api, params: dict[str, str]) -> None:
    assert shop.get("/v1/search", params=params).status_code == 400


def test_an_uploaded_image_is_found_until_it_is_deleted(api: Api, new_id: str) -> None:
    picture = small_jpeg(777)
    query = {"image": base64.b64encode(picture).decode(), "min_score": 0.9999}

    def found() -> list[str]:
        return [hit["id"] for hit in search(api, query)["data"]]

    search(api, query)  # the vectors are in memory from now on
    api.request("PUT", f"/v1/images/{new_id}", data=picture)
    wait_for(lambda: found() == [new_id], "the image to be found")
    assert search(api, query)["data"][0]["url"] is None
    api.request("DELETE", f"/v1/images/{new_id}")
    wait_for(lambda: found() == [], "the image to be gone")


def test_an_image_by_id_has_the_weight_of_an_image(shop: Api) -> None:
    other = {"text": "a cat", "weights": {"image": 0.25}}
    by_id = shop.post("/v1/search", json={**other, "image": {"id": "photo-2"}}).json()["data"]
    by_like = shop.post("/v1/search", json={**other, "weights": {"like": 0.25}, "like": "photo-2"}).json()["data"]
    assert by_id == by_like
    refused = shop.post("/v1/search", json={**other, "image": {"id": "photo-2"}, "like": "photo-3"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "weights.image")
