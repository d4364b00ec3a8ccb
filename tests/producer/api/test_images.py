"""`/v1/images`: enqueue, upload, wait, delete."""

from __future__ import annotations

import base64
import json
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from producer.client.broker import Broker
from producer.contract.job import id_of_url
from producer.documents.documents import ImageDocuments
from producer.operations.requeue.parts import projection
from producer.operations.requeue.selection import FAILED, Selection
from producer.operations.requeue.sweep import Sweeper, SweepOptions
from tests.producer.api.conftest import DIM, MODEL
from tests.support.api import running_api
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.api import Api
    from tests.support.servers import ImageServer


def test_an_enqueued_image_is_done_for_the_one_who_waits(api: Api, images: ImageServer, new_id: str) -> None:
    url = images.add("/a.jpg", small_jpeg(4))
    answer = api.post("/v1/images", json={"id": new_id, "url": url})
    assert answer.status_code == 202
    assert answer.headers["location"] == answer.json()["status_url"] == f"/v1/images/{new_id}"
    state = api.get(answer.headers["location"], params={"wait": 20, "vector": "base64"}).json()
    assert state.items() >= {"id": new_id, "status": "done", "url": url, "model": MODEL, "dim": DIM}.items()
    assert state["finished_at"].endswith("Z")
    assert len(struct.unpack(f"<{DIM}f", base64.b64decode(state["vector"]))) == DIM
    assert len(api.get(f"/v1/images/{new_id}", params={"vector": "float"}).json()["vector"]) == DIM


def test_a_failed_image_says_why(api: Api, images: ImageServer, new_id: str) -> None:
    api.post("/v1/images", json={"id": new_id, "url": images.add("/b.jpg", Answer(b"", 404))})
    state = api.get(f"/v1/images/{new_id}?wait=20").json()
    assert (state["status"], state["error"]["code"], state["error"]["stage"]) == ("failed", "http_404", "fetch")


def test_ids_may_be_anything_that_a_document_has(api: Api, images: ImageServer, new_id: str) -> None:
    url = images.add("/c.jpg", small_jpeg(5))
    oid = str(ObjectId())
    ids: list[Any] = [f"{new_id}/with/slashes ä?&%", {"$oid": oid}]
    enqueued = api.post("/v1/images", json={"images": [{"id": one, "url": url} for one in ids] + [{"url": url}]})
    assert enqueued.status_code == 202, enqueued.text
    jobs = enqueued.json()["data"]
    states = [api.get(job["status_url"], params={"wait": 20}).json() for job in jobs]
    assert [(state["id"], state["status"]) for state in states] == [
        (ids[0], "done"),
        (oid, "done"),
        (id_of_url(url), "done"),
    ]
    assert jobs[1]["status_url"] == f"/v1/images/{oid}?type=oid"


def test_an_image_is_recorded_before_it_is_enqueued(lonely_api: Api, queue: Any, new_id: str) -> None:
    """Without a worker it stays pending, and the waiting ends."""
    task_id = lonely_api.post("/v1/images", json={"id": new_id, "url": "https://example.com/a.jpg"}).json()["task_id"]
    answer = lonely_api.get(f"/v1/images/{new_id}?wait=1")
    assert (answer.status_code, answer.json()["status"], answer.headers["retry-after"]) == (200, "pending", "1")
    [message] = queue.lrange("images", 0, -1)
    assert task_id.encode() in message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "url"),
        ({"url": "https://e.com/a", "images": [{"url": "https://e.com/a"}]}, "url"),
        ({"url": "ftp://e.com/a"}, "url"),
        ({"url": 5}, "url"),
        ({"url": "https://e.com/" + "a" * 8179}, "url"),
        ({"id": "", "url": "https://e.com/a"}, "id"),
        ({"id": {"$oid": "xyz"}, "url": "https://e.com/a"}, "id"),
        ({"id": "a\u0000", "url": "https://e.com/a"}, "id"),
        ({"images": []}, "images"),
        ({"images": [{"url": "https://e.com/a"}] * 501}, "images"),
        ({"images": [{"url": "https://e.com/a"}, {"url": "https://u:p@e.com/a"}]}, "images[1].url"),
        ({"images": [{"url": "https://e.com/a"}, {"id": "b"}]}, "images[1].url"),
        ({"images": [{"url": "https://e.com/a", "force": "yes"}]}, "images[0].force"),
    ],
)
def test_if_one_image_cannot_be_used_none_is_enqueued(lonely_api: Api, queue: Any, body: Any, param: str) -> None:
    answer = lonely_api.post("/v1/images", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert queue.llen("images") == 0


def test_one_request_enqueues_500_of_the_longest_urls(lonely_api: Api, queue: Any, new_id: str) -> None:
    urls = [f"https://e.com/{new_id}-{number:03}?{'a' * (8192 - 19 - len(new_id))}" for number in range(500)]
    assert len(urls[0]) == 8192
    answer = lonely_api.post("/v1/images", json={"images": [{"url": url} for url in urls]})
    assert (answer.status_code, queue.llen("images")) == (202, 500)


def test_an_uploaded_image_has_its_vector_at_once(
    api: Api, collection: Collection[dict[str, Any]], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "title": "mine"})
    answer = api.request("PUT", f"/v1/images/{new_id}", data=small_jpeg(6), params={"vector": "float"})
    assert answer.status_code == 200, answer.text
    state = answer.json()
    assert state.items() >= {"status": "done", "saved": "done", "width": 64, "height": 48, "format": "JPEG"}.items()
    document = collection.find_one({"_id": new_id})
    assert document is not None
    assert document["title"] == "mine"
    assert document["embedding"] == pytest.approx(state["vector"])


@pytest.mark.parametrize("content", [b"", b"no image", b"GIF8", small_jpeg(7)[:200]])
def test_an_upload_that_is_no_image_changes_nothing(
    api: Api, collection: Collection[dict[str, Any]], new_id: str, content: bytes
) -> None:
    answer = api.request("PUT", f"/v1/images/{new_id}", data=content)
    assert answer.status_code in {400, 422}
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert collection.find_one({"_id": new_id}) is None


def test_a_deleted_vector_is_gone_and_the_rest_of_the_document_stays(
    api: Api, collection: Collection[dict[str, Any]], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "title": "mine"})
    api.request("PUT", f"/v1/images/{new_id}", data=small_jpeg(8))
    assert api.request("DELETE", f"/v1/images/{new_id}").status_code == 204
    document = collection.find_one({"_id": new_id})
    assert document is not None
    assert document["title"] == "mine"
    assert "embedding" not in document
    assert api.get(f"/v1/images/{new_id}").status_code == 404
    assert api.request("DELETE", f"/v1/images/{new_id}").status_code == 404
    assert api.request("PUT", f"/v1/images/{new_id}", data=small_jpeg(8)).json()["status"] == "done"


def test_a_job_that_runs_does_not_bring_a_deleted_vector_back(
    api: Api, images: ImageServer, collection: Collection[dict[str, Any]], new_id: str
) -> None:
    """The download of the first job ends after the deletion; a job that is enqueued later embeds the image again."""
    downloading, deleted = threading.Event(), threading.Event()
    url = images.add("/slow.jpg", _Held(downloading, deleted, small_jpeg(9)))
    api.post("/v1/images", json={"id": new_id, "url": url})
    assert downloading.wait(60)
    assert api.request("DELETE", f"/v1/images/{new_id}").status_code == 204
    deleted.set()
    marker = f"{new_id}-after"
    api.post("/v1/images", json={"id": marker, "url": images.add("/next.jpg", small_jpeg(10))})
    assert api.get(f"/v1/images/{marker}?wait=20").json()["status"] == "done"
    wait_for(lambda: images.hits["/slow.jpg"], "the download")
    assert api.get(f"/v1/images/{new_id}").status_code == 404

    api.post("/v1/images", json={"id": new_id, "url": url})
    assert api.get(f"/v1/images/{new_id}?wait=20").json()["status"] == "done"


def test_a_sweep_does_not_bring_a_deleted_vector_back(
    lonely_api: Api, queue: Any, redis_url: str, collection: Collection[dict[str, Any]], new_id: str
) -> None:
    collection.insert_one({"_id": new_id, "url": "https://example.com/a.jpg"})
    assert lonely_api.request("DELETE", f"/v1/images/{new_id}").status_code == 204
    sweeper = Sweeper(Broker(redis_url), ImageDocuments(collection), SweepOptions(0, 1000, "url"))
    sweeper.sweep()
    selection = Selection("embedding_job.url", FAILED)
    found = [one for page in ImageDocuments(collection).pages({"_id": new_id}, projection("url")) for one in page]
    assert [selection.job_of(one, 0) for one in found] == [None], "`clipqueue retry` does not either"
    assert new_id.encode() not in b"".join(queue.lrange("images", 0, -1))


def test_an_image_above_the_limit_is_refused(api: Api) -> None:
    large = small_jpeg(1) + bytes(8 * 1024 * 1024)
    for answer in (
        api.request("PUT", "/v1/images/large", data=large),
        api.post("/models/clip", data=large),
        api.post("/v1/embeddings", json={"input": [{"image": base64.b64encode(large).decode()}]}),
    ):
        assert answer.status_code == 413, answer.text


def test_a_job_that_redis_does_not_accept_is_recorded(
    stack: Stack, collection: Collection[dict[str, Any]], new_id: str
) -> None:
    with running_api(REDIS_URL="redis://127.0.0.1:1/0", MONGODB_URI=stack.mongodb_uri) as api:
        answer = api.post("/v1/images", json={"id": new_id, "url": "https://example.com/a.jpg"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "redis_unavailable")
    assert "clipqueue sweep will enqueue" in answer.json()["error"]["message"]
    document = collection.find_one({"_id": new_id})
    assert document is not None
    assert document["embedding_job"]["status"] == "pending"


def test_without_mongodb_nothing_is_enqueued(redis_url: str, queue: Any) -> None:
    uri = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"
    with running_api(REDIS_URL=redis_url, MONGODB_URI=uri) as api:
        answers = [
            api.post("/v1/images", json={"url": "https://example.com/a.jpg"}),
            api.get("/v1/images/a?wait=5"),
            api.request("DELETE", "/v1/images/a"),
            api.get("/v1/search?like=a"),
        ]
        assert [answer.json()["error"]["code"] for answer in answers] == ["mongodb_unavailable"] * 4
        assert {answer.status_code for answer in answers} == {503}
        health = api.get("/healthz")
        assert (health.status_code, health.json()["mongo"], health.json()["redis"]) == (503, False, True)
    assert queue.llen("images") == 0


def test_what_is_not_there_is_not_found(api: Api, new_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = api.request(method, f"/v1/images/{new_id}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "image_not_found")
    assert api.get(f"/v1/images/{new_id}", params={"type": "oid"}).status_code == 400
    assert api.get(f"/v1/images/{new_id}", params={"wait": "61"}).json()["error"]["param"] == "wait"


def test_a_line_break_after_an_id_is_a_part_of_it(api: Api, new_id: str) -> None:
    """So such an id is refused, and not taken for that of another image."""
    api.request("PUT", f"/v1/images/{new_id}", data=small_jpeg(12))
    for method in ("GET", "DELETE"):
        answer = api.request(method, f"/v1/images/{new_id}%0A")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "image_id")
    assert api.get(f"/v1/images/{new_id}").json()["status"] == "done"


class _Held(Answer):
    """An answer whose body waits until the test allows it."""

    def __init__(self, asked: threading.Event, allowed: threading.Event, body: bytes) -> None:
        super().__init__(body)
        self._asked = asked
        self._allowed = allowed

    def __getattribute__(self, name: str) -> Any:
        if name == "status":
            self._asked.set()
            self._allowed.wait(60)
        return super().__getattribute__(name)


def test_the_trace_of_a_request_goes_into_the_messages_of_its_jobs(silent_api: Api, silent_queue: redis.Redis) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    jobs = {"images": [{"url": "https://host/1.jpg"}, {"url": "https://host/2.jpg"}]}
    sent = {"traceparent": parent, "tracestate": "a=b", "baggage": "c=d", "sentry-trace": "wrong", "b3": "1"}
    assert silent_api.post("/v1/images", json=jobs, headers=sent).status_code == 202
    assert silent_api.post("/v1/images", json=jobs, headers={"traceparent": "wrong"}).status_code == 202
    messages: Any = silent_queue.lrange("images", 0, -1)
    headers = [json.loads(message)["headers"] for message in reversed(messages)]
    kept = {"traceparent": parent, "tracestate": "a=b", "baggage": "c=d"}
    assert [{name: one[name] for name in sent if name in one} for one in headers] == [kept, kept, {}, {}]
