"""What `ClipqueueApi` does when an answer is late, missing or a refusal. A scripted server is in the API's place."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.producer.js.conftest import run_script
from tests.support.scripted import ScriptedServer
from tests.support.servers import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

KEY = "a-secret-key-0123456789"
PAGE = Answer(b"<html>Bad Gateway</html>", 502, {"content-type": "text/html"})
MODELS = Answer(b'{"object": "list", "data": []}')
FINAL_STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 500, 501)
PASSING = ("seconds", "date", "past", "pages", "cut")
FINAL = ("configured", "hour", "redirect", "site", "other", "text", *(f"final-{one}" for one in FINAL_STATUSES))


def refusal(status: int, code: str, **headers: str) -> Answer:
    error = {"error": {"message": "not now", "type": "t", "param": None, "code": code}}
    return Answer(
        json.dumps(error).encode(), status, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def state(status: str) -> Answer:
    return Answer(json.dumps({"id": "a", "status": status}).encode())


def nobody() -> str:
    """Return a URL at which no server answers."""
    server = ScriptedServer()
    server.close()
    return server.url


def cut(_: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""


def cut_in_the_body(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"data": [')


UUID = "123e4567-e89b-12d3-a456-426614174000"

_FIRST = """
import { ClipqueueApi } from "clipqueue";
const { env } = process;
const at = (name, options) => new ClipqueueApi({ baseUrl: `${env.HOST}/${name}`, apiKey: env.KEY, ...options });
const failed = (error) => ({ ...error, name: error.name, message: error.message, text: String(error.stack) });
const failure = (promise) => promise.then(() => "no error", failed);
const results = {};
"""

# The pauses are noted, and are not waited for.
_PAUSES = (
    _FIRST
    + """
let pauses = [];
let aborting;
const { setTimeout: original } = globalThis;
globalThis.setTimeout = (call, ms) => {
  if (ms > 15_000 || !new Error().stack.includes("/clipqueue/")) return original(call, ms);
  pauses.push(ms);
  if (aborting !== undefined) queueMicrotask(() => aborting.abort("the caller left"));
  return original(call, aborting === undefined ? 0 : 2 ** 30);
};
const run = async (name, call) => {
  pauses = [];
  const result = await call(at(name)).catch(failed);
  results[name] = { result: result ?? null, pauses };
};
const bytes = new Uint8Array([1, 2, 3]);
for (const name of JSON.parse(env.MODELS)) await run(name, (api) => api.models());
await run("embed", (api) => api.embedText("a"));
await run("null", (api) => api.embedText("a"));
await run("part", (api) => api.embedText("a"));
await run("enqueue", (api) => api.enqueue("a", "https://example.com/a.jpg", { force: true }));
await run("upload", async (api) => {
  const uploading = api.upload("a", bytes.subarray(1));
  bytes[1] = 9; // the caller's buffer is used again
  return uploading;
});
await run("search", (api) => api.search({ text: "a" }));
await run("remove", (api) => api.remove("a"));
await run("status", (api) => api.status("a"));
await run("lost", (api) => api.status("a"));
aborting = new AbortController();
await run("later", (api) => api.models(aborting).catch((reason) => ({ reason })));
aborting = undefined;
await run("wait", (api) => api.waitFor("a", { timeoutMs: 20_000 }));
console.log(JSON.stringify(results));
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api-client-failures")


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def repeated(server: ScriptedServer, js_app: Path, folder: Path) -> dict[str, Any]:
    """The result of each call, and the pauses that it made."""
    server.add("seconds", refusal(503, "no_worker", retry_after="7"), MODELS)
    dates = {"date": "Sun, 06 Nov 1994 08:49:37 GMT", "retry_after": "Sun, 06 Nov 1994 08:49:42 GMT"}
    server.add("date", refusal(429, "overloaded", **dates), MODELS)
    server.add("past", refusal(504, "timeout", retry_after=dates["date"]), MODELS)
    server.add("pages", PAGE, PAGE, PAGE, MODELS)
    server.add("cut", cut, cut_in_the_body, MODELS)
    server.add("configured", refusal(503, "not_configured"))
    server.add("hour", refusal(429, "rate_limit_exceeded", retry_after="3600", x_request_id="r1"))
    server.add("redirect", Answer(b"", 302, {"location": f"{server.url}/elsewhere"}))
    server.add("null", Answer(b'{"data": [{"embedding": null}]}'))
    server.add("part", Answer(b'{"data": [{"embedding": "AACAPwAAAA=="}]}'))
    server.add("site", Answer(b"<html>", 200))
    server.add("other", Answer(b"{}", 200))
    server.add("text", Answer(b'{"error": "no such route"}', 404))
    for status in FINAL_STATUSES:
        server.add(f"final-{status}", refusal(status, "some_code", retry_after="1"))
    server.add("embed", PAGE, Answer(b'{"data": [{"embedding": "AACAPwAAAMA="}]}'))
    server.add("enqueue", cut, Answer(b'{"id": "a", "status": "pending", "task_id": "t", "status_url": "/"}', 202))
    server.add("upload", cut, Answer(b'{"id": "a", "status": "done", "saved": "done", "vector": "AACAPw=="}'))
    server.add("search", PAGE, Answer(b'{"object": "list", "data": [], "next": null}'))
    server.add("remove", cut, refusal(404, "image_not_found"))
    server.add("status", PAGE, state("done"))
    server.add("lost", Answer(b"<html>Not Found</html>", 404))
    server.add("later", refusal(503, "no_worker", retry_after="5"))
    server.add("wait", refusal(404, "image_not_found"), state("pending"), cut, PAGE, cut_in_the_body, state("failed"))
    results: dict[str, Any] = run_script(
        js_app, folder, _PAUSES, HOST=server.url, KEY=KEY, MODELS=json.dumps([*PASSING, *FINAL])
    )
    return results


def test_a_request_is_repeated_when_the_answer_says(repeated: dict[str, Any]) -> None:
    """A date is compared with that of the answer: the clock of this machine may be wrong."""
    assert repeated["seconds"] == {"result": [], "pauses": [7000]}
    assert repeated["date"] == {"result": [], "pauses": [5000]}


def test_without_such_a_time_the_pauses_grow(repeated: dict[str, Any]) -> None:
    assert repeated["pages"]["result"] == []
    for number, pause_ms in enumerate(repeated["pages"]["pauses"]):
        assert 125 * 2**number <= pause_ms <= 250 * 2**number
    assert len(repeated["pages"]["pauses"]) == 3
    [pause_ms] = repeated["past"]["pauses"]
    assert 125 <= pause_ms <= 250


def test_a_pause_ends_when_the_caller_aborts(repeated: dict[str, Any]) -> None:
    assert repeated["later"] == {"result": {"reason": "the caller left"}, "pauses": [5000]}


def test_a_cut_connection_is_no_answer(repeated: dict[str, Any]) -> None:
    assert (repeated["cut"]["result"], len(repeated["cut"]["pauses"])) == ([], 2)


@pytest.mark.parametrize("name", FINAL)
def test_what_does_not_pass_is_not_repeated(repeated: dict[str, Any], server: ScriptedServer, name: str) -> None:
    assert repeated[name]["result"]["name"] == "ApiError"
    assert repeated[name]["pauses"] == []
    assert len(server.seen[name]) == 1


def test_an_error_has_what_the_answer_says(repeated: dict[str, Any], server: ScriptedServer) -> None:
    hour = repeated["hour"]["result"]
    assert (
        hour.items()
        >= {"status": 429, "code": "rate_limit_exceeded", "requestId": "r1", "retryAfterMs": 3_600_000}.items()
    )
    host = server.url.removeprefix("http://")
    messages = {name: repeated[name]["result"]["message"] for name in ("hour", "redirect", "site", "text")}
    assert messages == {
        "hour": f"{host} answered 429 rate_limit_exceeded: not now",
        "redirect": f"{host} answered 302: a redirect; give the address that it leads to as baseUrl",
        "site": f"{host} answered 200, but not as the API does: is baseUrl its address?",
        "text": f"{host} answered 404: no such route",
    }
    assert server.seen["elsewhere"] == [], "the key does not follow a redirect"


@pytest.mark.parametrize("name", ["embed", "enqueue", "upload", "search", "remove", "status"])
def test_each_request_is_the_same_again(repeated: dict[str, Any], server: ScriptedServer, name: str) -> None:
    first, second = server.seen[name]
    assert (first.method, first.path, first.body) == (second.method, second.path, second.body)
    assert first.headers == second.headers
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert len(repeated[name]["pauses"]) == 1


def test_bodies_and_answers_are_what_was_meant(repeated: dict[str, Any], server: ScriptedServer) -> None:
    assert repeated["embed"]["result"] == [1, -2]
    for name in ("null", "part"):
        assert repeated[name]["result"]["message"].endswith("answered with something else than a vector")
    assert server.seen["upload"][1].body == b"\x02\x03"
    assert repeated["upload"]["result"]["vector"] == [1]
    assert json.loads(server.seen["enqueue"][0].body) == {"id": "a", "url": "https://example.com/a.jpg", "force": True}
    assert repeated["remove"]["result"] is None
    assert repeated["status"]["result"]["status"] == "done"


def test_only_the_api_can_say_that_an_image_is_unknown(repeated: dict[str, Any]) -> None:
    assert repeated["lost"]["result"]["status"] == 404


def test_waiting_survives_a_restart_of_the_api(repeated: dict[str, Any], server: ScriptedServer) -> None:
    assert repeated["wait"]["result"]["status"] == "failed"
    assert repeated["wait"]["pauses"][:2] == [1000, 1000], "an answer that comes at once is not asked for at once again"
    waits = [int(seen.path.partition("?wait=")[2]) for seen in server.seen["wait"]]
    assert len(waits) == 6
    assert set(waits) <= {18, 19}


_ENDS = (
    _FIRST
    + """
import { UUID } from "bson";
const reason = new Error("the caller left");
const controller = new AbortController();
const aborted = async (promise) => (await promise.catch((error) => error)) === reason;
const never = () => new Promise(() => {});
const brief = { timeoutMs: 200 };
results.hang = await failure(at("hang", brief).models());
results.body = await failure(at("body", brief).search({ text: "a secret text" }));
results.again = await failure(at("again", { timeoutMs: 400 }).models());
results.refused = await failure(new ClipqueueApi({ baseUrl: env.NOBODY, apiKey: env.KEY, ...brief }).models());
results.deaf = await failure(at("hang", { ...brief, fetch: never }).models());
results.thrown = await failure(at("hang", { ...brief, fetch: async () => { throw new Error(env.KEY) } }).models());
results.wait = await failure(at("hang", brief).waitFor("a", { timeoutMs: 300 }));
results.over = await at("over").waitFor("a", { timeoutMs: 1100 });
results.before = await aborted(at("none").models({ signal: AbortSignal.abort(reason) }));
const running = ["hang", "body", "pending"].map((name) =>
  aborted(name === "pending" ? at(name).waitFor("a", controller) : at(name).models(controller)));
const deaf = aborted(at("hang", { fetch: never }).models(controller));
const jobs = aborted(at("hang").enqueueMany([["a", "https://example.com/a.jpg"]], controller));
setTimeout(() => controller.abort(reason), 100);
results.during = await Promise.all([...running, deaf, jobs]);
results.timeout = await failure(at("hang").models({ signal: AbortSignal.timeout(50) }));
results.binding = await at("models", { fetch: (url, init) => fetch(url, init) }).models();
results.keyless = await new ClipqueueApi({ baseUrl: `${env.HOST}/keyless/` }).models();
for (const id of [5n, -6, new UUID(env.UUID), { id: "7", type: "int" }]) await at("typed").status(id);
results.timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout");
console.log(JSON.stringify(results));
process.exit();
"""
)


@pytest.fixture(scope="module")
def ended(server: ScriptedServer, js_app: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """How each call ended."""
    left = threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        left.wait(60)

    def hang_in_the_body(handler: BaseHTTPRequestHandler) -> None:
        cut_in_the_body(handler)
        left.wait(60)

    server.add("hang", hang)
    server.add("body", hang_in_the_body)
    server.add("again", refusal(503, "no_worker", retry_after="0"), hang)
    server.add("over", state("pending"))
    server.add("pending", state("pending"))
    for name in ("none", "models", "keyless"):
        server.add(name, MODELS)
    server.add("typed", *[state("pending")] * 4)
    yield run_script(js_app, folder, _ENDS, HOST=server.url, KEY=KEY, NOBODY=nobody(), UUID=UUID)
    left.set()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hang", "did not answer within 200 ms"),
        ("body", "did not answer within 200 ms"),
        ("again", "did not answer within 400 ms"),
        ("deaf", "did not answer within 200 ms"),
        ("wait", "did not answer within 300 ms"),
        ("refused", "cannot be reached: ECONNREFUSED"),
        ("thrown", "cannot be reached"),
    ],
)
def test_no_answer_in_time_names_the_host(
    ended: dict[str, Any], server: ScriptedServer, name: str, message: str
) -> None:
    error = ended[name]
    host = error["host"] if name == "refused" else server.url.removeprefix("http://")
    assert (error["name"], error["host"], error["message"]) == ("ApiUnavailable", host, f"{host} {message}")
    assert KEY not in error["text"]
    assert "secret text" not in error["text"]


def test_an_aborted_call_rejects_with_the_reason(ended: dict[str, Any], server: ScriptedServer) -> None:
    """Before the request, while it waits for an answer, for the body, and while it waits for a job."""
    assert ended["before"] is True
    assert ended["during"] == [True] * 5
    assert server.seen["none"] == []
    assert ended["timeout"]["name"] == "TimeoutError"


def test_waiting_ends_with_the_last_state(ended: dict[str, Any]) -> None:
    assert ended["over"]["status"] == "pending"


def test_no_timer_is_left(ended: dict[str, Any]) -> None:
    """It would keep a process of Node alive."""
    assert ended["timers"] == []


def test_a_path_names_the_type_of_an_id(ended: dict[str, Any], server: ScriptedServer) -> None:
    paths = [f"/typed/v1/images/{path}" for path in ("5?type=int", "-6?type=int", f"{UUID}?type=uuid", "7?type=int")]
    assert [seen.path for seen in server.seen["typed"]] == paths


def test_another_fetch_is_used_and_a_key_is_not_needed(ended: dict[str, Any], server: ScriptedServer) -> None:
    assert ended["binding"] == ended["keyless"] == []
    [seen] = server.seen["keyless"]
    assert seen.path == "/keyless/v1/models"
    assert "authorization" not in seen.headers


_REFUSED = (
    _FIRST
    + """
const messageOf = (call) => { try { call(); return null } catch (error) { return [error.name, error.message] } };
const make = (options) => messageOf(() => new ClipqueueApi(options));
const url = "https://api.example.com";
const image = { type: "oid", id: "0123456789abcdef01234567" };
const api = new ClipqueueApi({ baseUrl: env.HOST });
results.urls = [undefined, "", "api.example.com", "localhost:8000", "ftp://e.com", "http://", "http://e.com:99999",
  "https://user:secret@e.com", "https://e.com?token=secret", "https://e.com#secret",
].map((baseUrl) => make({ baseUrl }));
results.keys = ["", " ", "secret\\n", "sec ret", '"secret"', "'secret'", "secrét", "Bearer secret"].map((apiKey) =>
  make({ baseUrl: url, apiKey }));
results.timeouts = [0, -1, NaN, Infinity, 2 ** 31, "5", null].map((timeoutMs) => make({ baseUrl: url, timeoutMs }));
results.fetches = [{ fetch }, "fetch", 5, true].map((one) => make({ baseUrl: url, fetch: one }));
results.env = [{}, { CLIPQUEUE_URL: "" }, { CLIPQUEUE_URL: url, CLIPQUEUE_KEY: "a b" },
  { CLIPQUEUE_URL: url, CLIPQUEUE_KEY: "" }].map((variables) => messageOf(() => ClipqueueApi.fromEnv(variables)));
results.ids = await Promise.all([".", "..", "", "a\\n", "\\u0085", "\\ud800", "x".repeat(1025), null, 7.5, {}, ["a"],
  { $oid: "xyz" }, { id: true }, { id: "a", _id: "a" }, { ...image, id: "a" }].map((id) => failure(api.remove(id))));
results.jobs = await Promise.all([[["a", url], ["", url]], [["a", "ftp://e.com/secret"]], ["ab"], null].map((jobs) =>
  failure(api.enqueueMany(jobs))));
results.url = await failure(api.enqueue("a", "e.com/secret"));
results.images = await Promise.all([new Uint8Array(8 * 1024 * 1024 + 1), new ReadableStream(), null, 5].map((bytes) =>
  failure(api.upload("a", bytes))));
results.texts = await Promise.all([null, undefined, 5, ["a", {}]].map((text) => failure(api.embedText(text))));
results.searches = await Promise.all([undefined, null, "a cat"].map((request) => failure(api.search(request))));
results.wait = await failure(api.waitFor("a", { timeoutMs: -1 }));
console.log(JSON.stringify(results));
"""
)


def test_what_the_client_can_see_is_not_sent(server: ScriptedServer, js_app: Path, folder: Path) -> None:
    found = run_script(js_app, folder, _REFUSED, HOST=f"{server.url}/unsent")
    starts = "baseUrl must start with http:// or https://, such as https://clipqueue.example.com"
    assert [message for _, message in found["urls"]] == [
        *[starts] * 5,
        *["baseUrl cannot be read: its host or port is malformed"] * 2,
        "baseUrl has a user name or password; give apiKey",
        *["baseUrl has a query or a fragment; leave it out"] * 2,
    ]
    timeout = "timeoutMs must be a number of milliseconds above 0, at most 2147483647"
    assert found["timeouts"] == [["ConfigurationError", timeout]] * 7
    assert found["fetches"] == [["ConfigurationError", "fetch must be a function"]] * 4
    assert [name for name, _ in found["keys"] + found["urls"] + found["env"][:3]] == ["ConfigurationError"] * 21
    assert found["env"][3] is None
    assert "secr" not in json.dumps(found)
    assert [error["name"] for error in [*found["ids"], *found["images"], *found["jobs"]]] == ["InvalidJob"] * 23
    assert found["ids"][1]["message"] == 'the id ".." cannot be a part of a URL\'s path'
    assert found["jobs"][0]["message"].startswith("jobs[1]: image_id is empty")
    assert found["url"]["name"] == "InvalidJob"
    assert [error["message"] for error in found["texts"]] == [
        f"a text must be a string, not {what}" for what in ("null", "undefined", "number", "object")
    ]
    search = 'a search is an object, such as { text: "a red bicycle" }'
    assert [(error["name"], error["message"]) for error in found["searches"]] == [("InvalidJob", search)] * 3
    assert found["wait"]["name"] == "ConfigurationError"
    assert server.seen["unsent"] == []
