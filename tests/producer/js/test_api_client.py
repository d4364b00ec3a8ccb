"""`ClipqueueApi` against the real API: one script calls each method, and the tests compare what it got."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import ObjectId

from tests.producer.api.conftest import DIM, MODEL
from tests.producer.js.conftest import run_script
from tests.support.api import KEY, SEARCH_KEY, Api, running_api
from tests.support.pictures import small_jpeg
from tests.support.servers import Answer, ImageServer
from tests.support.shop import IDS, OID, running_shop
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.collection import Collection

    from producer.local.stack import Stack

JPEG = small_jpeg(31)
# What a path, a URL or JSON could change on the way.
HOSTILE_IDS = [
    *(
        "a/b",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/..",
        "a/../b",
        "./a",
        "...",
        ". ",
        "a/.",
        "%2e%2e",
        "%2E",
        "%2F",
        "%",
        "%zz",
    ),
    *(
        "a?b",
        "?type=oid",
        "a#b",
        "#",
        "a&b=c",
        "a+b",
        "a b",
        " a ",
        "a;b",
        "a:b",
        "http://e.com/a?b=1#c",
        "\\",
        "a\\..\\b",
    ),
    *("äöü", "a\u0308", "日本", "😀", "\u202e", "\u2028", "'\"<>", "{}", '{"$oid": "a"}', "*", "~", "!()", "[::1]"),
    *("0123456789abcdef01234567", "__proto__", "null", "x" * 1024, "😀" * 1024),
]

_FIRST = """
import { ClipqueueApi } from "clipqueue";
const { env } = process;
const api = new ClipqueueApi({ baseUrl: env.HOST, apiKey: env.KEY });
const failed = ({ name, status, code, param, requestId, message }) =>
  ({ name, status, code, param, hasRequestId: /^[0-9a-f]{32}$/.test(requestId), message });
const failure = (call) => call().then(() => "no error", failed);
const bytes = Uint8Array.from(atob(env.IMAGE ?? ""), (char) => char.charCodeAt(0));
"""

_EVERYTHING = (
    _FIRST
    + """
import { ObjectId } from "bson";
const padded = new Uint8Array([0, ...bytes, 0]);
const texts = Array.from({ length: 35 }, (_, number) => `text ${number}`);
const oid = new ObjectId(env.OID);
async function* pairs() {
  for (let number = 0; number < 501; number += 1) yield [`${env.ID}-many-${number}`, env.URL];
}
const lonely = new ClipqueueApi({ baseUrl: env.LONELY, apiKey: env.KEY });
const brief = new ClipqueueApi({ baseUrl: env.LONELY, apiKey: env.KEY, timeoutMs: 300 });
const results = {
  text: await api.embedText("a cat"),
  texts: await api.embedText(texts),
  last: await api.embedText(texts[34]),
  none: await api.embedText([]),
  dataText: (await api.embedText("data:image/png;base64,AAAA")).length,
  images: await Promise.all([
    env.URL, new URL(env.URL), env.IMAGE, `data:image/jpeg;base64,${env.IMAGE}`,
    bytes, Buffer.from(bytes), bytes.buffer, new Blob([bytes]), padded.subarray(1, -1), new DataView(bytes.buffer),
  ].map((image) => api.embedImage(image, { model: env.MODEL }))),
  models: await api.models(),
  enqueued: await api.enqueue(env.ID, env.URL),
  done: await api.waitFor(env.ID, { vector: true }),
  again: await api.status({ id: env.ID }),
  forced: [(await api.enqueue(env.ID, env.URL, { force: true })).task_id, await api.waitFor(env.ID)],
  gone: [await api.enqueue(env.ID + "-gone", env.GONE), await api.waitFor(env.ID + "-gone")],
  oid: [await api.enqueue(oid, env.URL), await api.waitFor({ $oid: oid.toHexString().toUpperCase() })],
  uploaded: await api.upload(env.ID + "-up", new Blob([bytes]), { vector: true }),
  many: await lonely.enqueueMany(pairs()),
  lastOfMany: (await lonely.status(`${env.ID}-many-500`)).status,
  fewer: await api.enqueueMany([[oid, env.URL], [{ id: env.OID, type: "oid" }, env.URL]], { force: true }),
  noJobs: await api.enqueueMany(new Map()),
  fromV1: (await new ClipqueueApi({ baseUrl: new URL(env.HOST + "/v1/"), apiKey: env.KEY }).models()).length,
  fromEnv: (await ClipqueueApi.fromEnv({ CLIPQUEUE_URL: env.HOST, CLIPQUEUE_KEY: env.KEY }).models()).length,
  fromProcess: (await ClipqueueApi.fromEnv().models()).length,
};
const state = await api.status(oid);
results.removed = [await api.remove(state), await api.status(state), await api.remove(state)];
const stranger = new ClipqueueApi({ baseUrl: env.HOST, apiKey: "no-such-key-0123456789" });
await lonely.enqueue(env.ID + "-lonely", env.URL);
results.pending = await lonely.waitFor(env.ID + "-lonely", { timeoutMs: 1500 });
const jobs = Array.from({ length: 503 }, (_, number) => [`${env.ID}-n${number}`, number === 502 ? "ftp:" : env.URL]);
results.part = [await failure(() => lonely.enqueueMany(jobs)),
  (await lonely.status(jobs[499][0])).status, await lonely.status(jobs[500][0])];
results.unknown = await api.status(env.ID + "-unknown");
results.failures = {
  model: await failure(() => api.embedText("a", { model: "other" })),
  text: await failure(() => api.embedText("")),
  image: await failure(() => api.embedImage(new Uint8Array(5))),
  download: await failure(() => api.embedImage(env.GONE)),
  upload: await failure(() => api.upload(env.ID + "-no", new Uint8Array(5))),
  key: await failure(() => stranger.models()),
  scope: await failure(() => new ClipqueueApi({ baseUrl: env.HOST, apiKey: env.SEARCH_KEY }).remove("a")),
  noKey: await failure(() => new ClipqueueApi({ baseUrl: env.HOST }).models()),
  path: await failure(() => new ClipqueueApi({ baseUrl: env.HOST + "/nowhere", apiKey: env.KEY }).models()),
  wait: await failure(() => api.waitFor(env.ID + "-unknown", { timeoutMs: 300 })),
  worker: await failure(() => brief.embedText("a")),
};
console.log(JSON.stringify(results));
"""
)


@pytest.fixture(scope="module")
def server() -> Iterator[ImageServer]:
    server = ImageServer()
    server.add("/a.jpg", JPEG)
    server.add("/gone.jpg", Answer(b"", 404))
    yield server
    server.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api-client")


@pytest.fixture(scope="module")
def found(api: Api, lonely_api: Api, server: ImageServer, js_app: Path, folder: Path) -> dict[str, Any]:
    """What each method returned."""
    variables = _variables(api, server)
    variables |= {"LONELY": lonely_api.url, "SEARCH_KEY": SEARCH_KEY, "MODEL": MODEL, "GONE": f"{server.url}/gone.jpg"}
    variables |= {"CLIPQUEUE_URL": api.url, "CLIPQUEUE_KEY": KEY, "OID": str(ObjectId()), "ID": f"js-{ObjectId()}"}
    results: dict[str, Any] = run_script(js_app, folder, _EVERYTHING, **variables)
    return {**results, "variables": variables}


def _variables(api: Api, server: ImageServer) -> dict[str, str]:
    image = base64.b64encode(JPEG).decode()
    return {"HOST": api.url, "KEY": KEY, "URL": f"{server.url}/a.jpg", "IMAGE": image}


def embedded(api: Api, one: object) -> list[float]:
    body = {"model": "clip", "input": one, "encoding_format": "float"}
    vector: list[float] = api.post("/v1/embeddings", json=body).json()["data"][0]["embedding"]
    return vector


def test_a_text_has_its_vector(found: dict[str, Any], api: Api) -> None:
    assert found["text"] == pytest.approx(embedded(api, "a cat"), abs=1e-7)
    assert found["dataText"] == DIM


def test_many_texts_have_their_vectors_in_order(found: dict[str, Any], api: Api) -> None:
    """They are more than a request may have."""
    assert len(found["texts"]) == 35
    assert found["texts"][0] == pytest.approx(embedded(api, "text 0"), abs=1e-7)
    assert found["texts"][34] == found["last"]
    assert found["none"] == []


def test_an_image_has_the_same_vector_in_each_form(found: dict[str, Any], api: Api) -> None:
    expected = embedded(api, {"image": base64.b64encode(JPEG).decode()})
    assert len(found["images"]) == 10
    for vector in found["images"]:
        assert vector == pytest.approx(expected, abs=1e-6)


def test_the_models_are_those_of_the_workers(found: dict[str, Any]) -> None:
    [model] = found["models"]
    assert (model["id"], model["dim"]) == (MODEL, DIM)
    assert found["fromV1"] == found["fromEnv"] == found["fromProcess"] == 1


def test_an_enqueued_image_is_done_for_the_one_who_waits(found: dict[str, Any], api: Api) -> None:
    image_id = found["variables"]["ID"]
    enqueued, done = found["enqueued"], found["done"]
    assert enqueued.keys() == {"id", "task_id", "status", "status_url"}
    assert (enqueued["id"], enqueued["status"], done["id"], done["status"]) == (image_id, "pending", image_id, "done")
    stored = api.get(f"/v1/images/{image_id}?vector=float").json()
    assert done["vector"] == pytest.approx(stored["vector"], abs=1e-9)
    assert found["again"].items() >= {"status": "done", "sha256": done["sha256"]}.items()
    assert "vector" not in found["again"]
    task_id, forced = found["forced"]
    assert task_id != enqueued["task_id"]
    assert forced["enqueued_at"] > done["enqueued_at"]


def test_a_failed_job_is_a_state(found: dict[str, Any]) -> None:
    _, state = found["gone"]
    assert (state["status"], state["error"]["code"], state["error"]["stage"]) == ("failed", "http_404", "fetch")


def test_a_job_that_has_not_ended_in_time_is_pending(found: dict[str, Any]) -> None:
    assert found["pending"]["status"] == "pending"


def test_object_ids_are_those_of_the_documents(found: dict[str, Any], stack: Stack) -> None:
    enqueued, state = found["oid"]
    oid = found["variables"]["OID"]
    for one in (enqueued, state):
        assert (one["id"], one["type"]) == (oid, "oid")
    with pymongo.MongoClient[Any](stack.mongodb_uri) as mongo:
        ids = [document["_id"] for document in mongo["clipqueue"]["images"].find({}, {"_id": 1})]
    assert [one for one in ids if str(one) == oid] == [ObjectId(oid)]


def test_an_upload_has_its_vector_at_once(found: dict[str, Any], api: Api) -> None:
    state = found["uploaded"]
    assert (state["status"], state["saved"], state["width"]) == ("done", "done", 64)
    assert state["vector"] == pytest.approx(embedded(api, {"image": base64.b64encode(JPEG).decode()}), abs=1e-6)


def test_many_images_are_enqueued_in_several_requests(found: dict[str, Any]) -> None:
    assert (found["many"], found["lastOfMany"]) == (501, "pending")
    assert (found["fewer"], found["noJobs"]) == (2, 0)


def test_a_wrong_job_ends_the_enqueueing_before_its_own_request(found: dict[str, Any]) -> None:
    error, first, second = found["part"]
    assert error["name"] == "InvalidJob"
    assert error["message"].startswith("jobs[502]: the URL")
    assert (first, second) == ("pending", None)


def test_a_removed_vector_is_gone_and_a_repetition_is_no_error(found: dict[str, Any]) -> None:
    assert found["removed"] == [None, None, None]
    assert "unknown" not in found  # JSON leaves out what is undefined


@pytest.mark.parametrize(
    ("call", "status", "code", "param"),
    [
        ("model", 404, "model_not_found", "model"),
        ("text", 400, "invalid_request", "input[0].text"),
        ("image", 400, "invalid_request", "input[0].image"),
        ("download", 422, "http_404", "input[0]"),
        ("upload", 400, "invalid_request", "body"),
        ("key", 401, "invalid_api_key", None),
        ("scope", 403, "not_allowed", None),
        ("noKey", 401, "invalid_api_key", None),
        ("path", 404, "unknown_path", None),
        ("wait", 404, "image_not_found", "image_id"),
        ("worker", 503, "no_worker", None),
    ],
)
def test_a_refusal_says_why(found: dict[str, Any], call: str, status: int, code: str, param: str | None) -> None:
    error = found["failures"][call]
    assert (error["name"], error.get("status"), error.get("code")) == ("ApiError", status, code)
    assert error.get("param") == param
    assert error["hasRequestId"] is (call != "wait")
    assert "secret" not in error["message"]
    assert KEY not in error["message"]


_HOSTILE = (
    _FIRST
    + """
const found = await Promise.all(JSON.parse(env.IDS).map(async (id) => {
  await api.enqueue(id, env.URL);
  const enqueued = await api.status(id);
  const uploaded = await api.upload(id, bytes);
  await api.remove(id);
  return [id, [enqueued?.id, uploaded.id, uploaded.status, (await api.status(id)) ?? null]];
}));
console.log(JSON.stringify(found));
"""
)


def test_any_id_reaches_its_document(api: Api, server: ImageServer, js_app: Path, folder: Path, stack: Stack) -> None:
    """Through `fetch`, which resolves dots and changes backslashes, and the API's decoding."""
    found = dict(run_script(js_app, folder, _HOSTILE, IDS=json.dumps(HOSTILE_IDS), **_variables(api, server)))
    assert found == {image_id: [image_id, image_id, "done", None] for image_id in HOSTILE_IDS}
    with pymongo.MongoClient[Any](stack.mongodb_uri) as mongo:
        removed = mongo["clipqueue"]["images"].find({"embedding_job.error.code": "deleted"}, {"_id": 1})
        assert set(HOSTILE_IDS) <= {document["_id"] for document in removed}


_SEARCHES = (
    _FIRST
    + """
import { ObjectId } from "bson";
const ids = ({ data }) => data.map(({ id }) => id);
const first = await api.search({ text: "a cat", limit: 2, fields: ["album", "taken_at"] });
const [oidHit] = (await api.search({ text: "a cat" })).data.filter(({ type }) => type === "oid");
const since = new Date("2026-01-03T00:00:00Z");
const Class = (await import("node:vm")).runInNewContext("Date");
console.log(JSON.stringify({
  first,
  next: ids(await api.search({ text: "a cat", limit: 2, cursor: first.next })),
  all: ids(await api.search({ text: "a cat", cursor: null, image: undefined })),
  bytes: ids(await api.search({ image: bytes, limit: 1 })),
  blob: ids(await api.search({ image: new Blob([bytes]), limit: 1 })),
  byId: ids(await api.search({ image: { id: "photo/1" }, limit: 1 })),
  like: ids(await api.search({ like: ["photo/1", oidHit, new ObjectId(env.OID)] })),
  byHit: ids(await api.search({ image: oidHit })),
  not: ids(await api.search({ text: "a cat", not: ["a dog", { id: "photo-3" }, oidHit] })),
  date: ids(await api.search({ text: "a cat", filter: { taken_at: { $gte: since } } })),
  otherDate: ids(await api.search({ text: "a cat", filter: { taken_at: { $gte: new Class(since.getTime()) } } })),
  filter: ids(await api.search({ text: "a cat", filter: { $or: [{ album: "summer" }, { album: new ObjectId() }] } })),
  min: ids(await api.search({ text: "a cat", min_score: 1, within: 0.1, exact: true, model: env.MODEL })),
  folded: (await api.search({ text: "a cat", dedupe: 0.999 })).data.flatMap((hit) => hit.duplicates).length,
  weights: ids(await api.search({ text: "a cat", like: "photo/1", weights: { text: 0, like: 1, not: 0 }, limit: 1 })),
  failures: await Promise.all([
    { text: "a", weights: { text: NaN } }, { text: "a", filter: { secret: 1 } }, { like: "no-such-image" }, {},
    { text: "a", minScore: 0.3 }, { text: "a", min_score: NaN }, { text: "a", limit: Infinity },
    { text: "a", filter: { album: undefined } }, { text: "a", filter: { album: { $in: ["b", undefined] } } },
    { text: "a", filter: { album: /x/ } }, { text: "a", filter: { album: NaN } },
    { text: "a", filter: { taken_at: new Date(NaN) } }, { text: "a", filter: { album: new Map() } },
    { text: "a", filter: { album: 1n } }, { text: "a", filter: (() => { const f = {}; f.$not = f; return f; })() },
    { like: { _id: "photo/1", id: "photo/1" } }, { image: new ReadableStream() },
  ].map((request) => failure(() => api.search(request)))),
}));
"""
)


@pytest.fixture(scope="module")
def searches(stack: Stack, worker_log: Path, js_app: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """What each search found."""
    with running_shop(stack) as shop:
        image = base64.b64encode(small_jpeg(2)).decode()
        yield run_script(js_app, folder, _SEARCHES, HOST=shop.url, KEY=KEY, IMAGE=image, OID=str(OID), MODEL=MODEL)


def test_a_search_has_pages(searches: dict[str, Any]) -> None:
    page = searches["first"]
    assert (page["object"], page["model"], page["backend"]) == ("list", MODEL, "scan")
    assert {*(hit["id"] for hit in page["data"]), *searches["next"]} == set(IDS) == set(searches["all"])
    assert page["data"][0]["fields"].keys() == {"album", "taken_at"}


def test_a_picture_and_stored_images_are_searched_with(searches: dict[str, Any]) -> None:
    assert searches["bytes"] == searches["blob"] == ["photo-3"]
    assert searches["byId"] == searches["weights"] == ["photo-2"]
    assert set(searches["like"]) == {"photo-2", "photo-3"}
    assert set(searches["byHit"]) == {"photo/1", "photo-2", "photo-3"}
    assert set(searches["not"]) == {"photo/1", "photo-2"}


def test_dates_and_object_ids_are_compared_as_such(searches: dict[str, Any]) -> None:
    assert set(searches["date"]) == set(searches["otherDate"]) == {"photo-3", str(OID)}
    assert set(searches["filter"]) == {"photo/1", "photo-2"}
    assert searches["min"] == []
    assert searches["folded"] == 1


def test_no_part_of_a_search_is_lost_in_json(searches: dict[str, Any]) -> None:
    refused = [(error["name"], error.get("param")) for error in searches["failures"]]
    api_errors = ["weights.text", "filter.secret", "like", "text"]
    assert refused[:4] == [("ApiError", param) for param in api_errors]
    assert refused[4:] == [("InvalidJob", None)] * 13
    assert [error["message"] for error in searches["failures"][4:8]] == [
        'a search has no field "minScore"',
        "min_score is NaN",
        "limit is Infinity",
        "filter.album is Undefined, which JSON does not have",
    ]


_WAITS = _FIRST + "console.log(JSON.stringify(await api.waitFor(env.ID)));"


def test_waiting_goes_on_after_a_restart_of_the_api(
    stack: Stack, queue: Any, js_app: Path, folder: Path, collection: Collection[Any], new_id: str
) -> None:
    """The API ends in the middle of the long poll, and the job ends while it is away."""
    settings = {"REDIS_URL": stack.redis_url.removesuffix("0") + "6", "MONGODB_URI": stack.mongodb_uri}
    with ThreadPoolExecutor(1) as pool:
        with running_api(**settings) as first:
            first.post("/v1/images", json={"id": new_id, "url": "https://example.com/a.jpg"})
            waiting = pool.submit(run_script, js_app, folder, _WAITS, HOST=first.url, KEY=KEY, ID=new_id)
            wait_for(first.in_progress, "the client to wait")
            first.stop()
        collection.update_one({"_id": new_id}, {"$set": {"embedding_job": {"status": "done"}}})
        with running_api(**settings, CLIPQUEUE_API_PORT=int(first.url.rpartition(":")[2])):
            assert waiting.result()["status"] == "done"
