"""Ids of all types, from the command line and the clients to the document: a worker process, with the fake encoder.

The embedded MongoDB holds integers and UUIDs behind a relay, see `tests.support.mongo_ids`.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pymongo
import pytest
import redis
from bson import ObjectId

from producer.client.client import EmbeddingClient
from producer.contract.ids import parse_image_id, wire_id
from producer.contract.mongodb import client_options
from producer.contract.names import ENDED, PARKED_LIST
from producer.contract.records import bson_date
from tests.support.api import running_api
from tests.support.commands import invoke
from tests.support.messages import hand_made_message
from tests.support.mongo_ids import IdRelay
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer, ImageServer
from tests.support.waiting import wait_for
from tests.support.workers import start_fake_worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.support.api import Api

Document = dict[str, Any]

UUID = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")
OID = ObjectId("65f0c0ffee65f0c0ffee65f0")
# Some have one text, and are different documents all the same. (The embedded server takes the text of OID for OID.)
IDS: list[Any] = [5, "5", -17, 2**53 + 1, 2**63 - 1, UUID, str(UUID), OID]


@pytest.fixture(scope="module")
def relay(own: Stack) -> Iterator[IdRelay]:
    with IdRelay(urlsplit(own.mongodb_uri).port or 0) as relay:
        yield relay


@pytest.fixture(scope="module")
def env(own: Stack, relay: IdRelay) -> dict[str, str]:
    return {"REDIS_URL": own.redis_url, "MONGODB_URI": relay.mongodb_uri}


@pytest.fixture(scope="module", autouse=True)
def worker(own: Stack, own_dir: Path, env: dict[str, str]) -> None:
    hook = {"CLIPQUEUE_WEBHOOK_URL": "http://127.0.0.1:9/hook"}
    start_fake_worker(own, own_dir, "worker", {**env, **hook})


@pytest.fixture
def photos(relay: IdRelay) -> Iterator[Collection[Document]]:
    uri = relay.mongodb_uri
    with pymongo.MongoClient[Document](uri, **client_options(uri, "test")) as mongo:
        photos = mongo["clipqueue"]["images"]
        photos.delete_many({})
        yield photos


@pytest.fixture
def client(env: dict[str, str]) -> Iterator[EmbeddingClient]:
    with EmbeddingClient(env["REDIS_URL"], mongodb_uri=env["MONGODB_URI"]) as client:
        yield client


@pytest.fixture(scope="module")
def api(env: dict[str, str]) -> Iterator[Api]:
    with running_api(redis_url=env["REDIS_URL"], mongodb_uri=env["MONGODB_URI"]) as api:
        yield api


def statuses(photos: Collection[Document]) -> dict[str, str]:
    """Return the status of each document by the `repr` of its id: 5 and "5" differ."""
    return {repr(one["_id"]): one.get("embedding_job", {}).get("status") for one in photos.find()}


def wait_until_done(photos: Collection[Document], ids: list[Any]) -> None:
    wanted = {repr(one): "done" for one in ids}
    wait_for(lambda: statuses(photos) == wanted, f"all jobs to end: {statuses(photos)}")


@pytest.mark.parametrize("record", [False, True])
def test_each_vector_is_written_into_the_document_of_its_id(
    client: EmbeddingClient, images: ImageServer, photos: Collection[Document], env: dict[str, str], record: bool
) -> None:
    urls = {repr(one): images.add(f"/{number}.jpg", small_jpeg(number)) for number, one in enumerate(IDS)}
    with redis.Redis.from_url(env["REDIS_URL"]) as broker:
        broker.delete(ENDED)
        client.enqueue_many([(one, urls[repr(one)]) for one in IDS], record=record)
        wait_for(lambda: broker.xlen(ENDED) == len(IDS), "all jobs to end")
        entries: Any = broker.xrange(ENDED)
    found = {repr(one["_id"]): one["embedding_job"]["url"] for one in photos.find()}
    assert found == urls
    events = [json.loads(fields[b"event"])["image_id"] for _, fields in entries]
    assert sorted(map(repr, events)) == sorted(repr(wire_id(parse_image_id(one))) for one in IDS)


def test_messages_of_other_programs_may_have_other_forms_of_json(
    images: ImageServer, photos: Collection[Document], env: dict[str, str]
) -> None:
    """What is no id is parked, because no document can be found for it."""
    url = images.add("/a.jpg", small_jpeg())
    given = [41, 42.0, {"$numberInt": "43"}, {"$binary": {"base64": "Ej5FZ+ibEtOkVkJmFBdAAA==", "subType": "04"}}]
    no_ids = [7.5, True, 2**63, {"$numberLong": "05"}, {"$uuid": UUID.hex}]
    with redis.Redis.from_url(env["REDIS_URL"]) as broker:
        broker.delete(PARKED_LIST)
        broker.lpush("images", *(hand_made_message({"image_id": one, "url": url}) for one in [*given, *no_ids]))
        wait_until_done(photos, [41, 42, 43, UUID])
        wait_for(lambda: broker.llen(PARKED_LIST) == len(no_ids), "the others to be parked")
        broker.delete(PARKED_LIST)


def test_failures_are_listed_shown_and_retried(
    client: EmbeddingClient, images: ImageServer, photos: Collection[Document], env: dict[str, str]
) -> None:
    url = images.add("/later.jpg", Answer(b"", 404))
    client.enqueue_many([(5, url), (UUID, url)])
    wait_for(lambda: photos.count_documents({"embedding_job.status": "failed"}) == 2, "both jobs to fail")
    listed = json.loads(invoke("failed", "--json", **env).stdout)
    assert sorted(one["id"] for one in listed["samples"]) == [str(UUID), "5"]
    shown = invoke("status", "5", str(UUID).upper(), "no-such-image", **env)
    assert [line.split("\t")[1] for line in shown.stdout.splitlines()] == ["failed", "failed", "unknown"]
    images.add("/later.jpg", small_jpeg())
    retried = invoke("retry", **env)
    assert (retried.returncode, retried.stdout.split(",")[0]) == (0, "enqueued 2"), retried
    wait_until_done(photos, [5, UUID])
    for id_type, code in (("integer", 0), ("string", 1)):
        assert invoke("status", "5", "--id-type", id_type, **env).returncode == code
    refused = invoke("status", "five", "--id-type", "integer", **env)
    assert (refused.returncode, "within 64 bits" in refused.stderr) == (2, True)


def test_a_backfill_reads_every_id_and_names_those_that_no_job_can_have(
    images: ImageServer, photos: Collection[Document], env: dict[str, str]
) -> None:
    url = images.add("/a.jpg", small_jpeg())
    unusable = [7.5, datetime(2020, 1, 1, tzinfo=UTC)]
    photos.insert_many([{"_id": one, "url": url} for one in [*IDS, *unusable]])
    said = ""
    for enqueued in (3, 6, 8):  # each run goes on after an id of another type
        limited = invoke("backfill", "--url-field", "url", "--limit", "3", **env)
        assert f"enqueued {enqueued}," in limited.stdout, limited
        said += limited.stderr
    assert (limited.returncode, "unusable 2" in limited.stdout) == (1, True)
    assert "7.5: image_id must be a string, an integer" in said
    assert "datetime.datetime(2020" in said
    wait_for(lambda: photos.count_documents({"embedding_job.status": "done"}) == len(IDS), "all jobs to end")


def test_a_sweep_enqueues_lost_jobs_of_every_id(
    images: ImageServer, photos: Collection[Document], env: dict[str, str]
) -> None:
    url = images.add("/a.jpg", small_jpeg())
    record = {"status": "pending", "url": url, "enqueued_at": bson_date(1_700_000_000_000)}
    photos.insert_many([{"_id": one, "embedding_job": record} for one in IDS])
    assert invoke("sweep", **env).stdout.startswith(f"queued again: {len(IDS)},")
    wait_until_done(photos, IDS)
    assert invoke("sweep", **env).stdout.startswith("queued again: 0,")


def test_enqueue_takes_ids_of_a_type(images: ImageServer, photos: Collection[Document], env: dict[str, str]) -> None:
    url = images.add("/a.jpg", small_jpeg())
    assert invoke("enqueue", "--id", "5", "--id-type", "integer", url, **env).returncode == 0
    assert invoke("enqueue", "--id", str(UUID), "--id-type", "uuid", url, **env).returncode == 0
    wait_until_done(photos, [5, UUID])


NAMED = [
    (5, {"id": "5", "type": "int"}),
    ({"$numberLong": "9007199254740993"}, {"id": "9007199254740993", "type": "int"}),
    ({"$uuid": str(UUID)}, {"id": str(UUID), "type": "uuid"}),
    ("5", {"id": "5"}),
]


def test_the_api_takes_and_names_ids_of_every_type(
    api: Api, images: ImageServer, photos: Collection[Document], env: dict[str, str]
) -> None:
    urls = [images.add(f"/{number}.jpg", small_jpeg(number)) for number in range(len(NAMED))]
    body = {"images": [{"id": given, "url": url} for (given, _), url in zip(NAMED, urls, strict=True)]}
    enqueued = api.post("/v1/images", json=body).json()["data"]
    assert [{name: one[name] for name in ("id", "type") if name in one} for one in enqueued] == [
        name for _, name in NAMED
    ]
    for one, url in zip(enqueued, urls, strict=True):
        state = api.get(one["status_url"], params={"wait": 30}).json()
        assert (state["status"], state["url"], state.get("type")) == ("done", url, one.get("type"))
    found = api.post("/v1/search", json={"like": {"$uuid": str(UUID)}}).json()["data"]
    assert sorted(str({name: hit[name] for name in ("id", "type") if name in hit}) for hit in found) == sorted(
        str(name) for given, name in NAMED if given != {"$uuid": str(UUID)}
    )
    listed = invoke("search", "--like", "5", "--id-type", "integer", "--json", **env).stdout.splitlines()
    assert {"id": "5"}.items() <= json.loads(min(listed, key=len)).items()
    assert api.request("DELETE", "/v1/images/5?type=int").status_code == 204
    assert [api.get("/v1/images/5", params={"type": one}).status_code for one in ("int", "string")] == [404, 200]


def test_an_upload_is_saved_under_an_id_of_its_type(api: Api, photos: Collection[Document]) -> None:
    for path in ("5?type=int", f"{UUID}?type=uuid"):
        saved = api.request("PUT", f"/v1/images/{path}", data=small_jpeg())
        assert saved.json()["saved"] == "done", saved.text
    wait_until_done(photos, [5, UUID])
    for path, param in (("five?type=int", "image_id"), ("5?type=uuid", "image_id"), ("5?type=float", "type")):
        refused = api.get(f"/v1/images/{path}")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_pages_of_a_search_go_on_after_ids_of_every_type(api: Api, photos: Collection[Document]) -> None:
    """All scores are equal, so the order is that of the ids."""
    record = {"status": "done", "model": "fake/model", "url": "http://host/a.jpg"}
    photos.insert_many(
        [{"_id": one, "embedding": [1.0] + [0.0] * 7, "embedding_job": record} for one in [*IDS, "like", 10]]
    )
    body: Document = {"like": "like", "limit": 1, "model": "fake/model"}
    seen = []
    while True:
        page = api.post("/v1/search", json=body).json()
        seen += [(hit["id"], hit.get("type")) for hit in page["data"]]
        if not page["next"]:
            break
        body["cursor"] = page["next"]
    assert [one for one in seen if one[1] == "int"] == [(str(n), "int") for n in (-17, 5, 10, 2**53 + 1, 2**63 - 1)]
    assert len(set(seen)) == len(seen) == len(IDS) + 1
