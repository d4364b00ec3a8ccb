"""What EmbeddingClient says if Redis cannot be used: the host, what to do, never a password or a token."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.producer.js.prelude import PRELUDE
from tests.support.queued import queued_task_ids
from tests.support.servers import LoopbackServer, SocketServer
from tests.support.upstash import Upstash

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    Run = Callable[..., Any]

FAILED = "BrokerUnavailable: Redis at {} did not accept the job: {}"
# Connects each kind of client to a port, so that the client itself never gives up.
CLIENTS = """
import { Redis } from "ioredis";
import { Redis as Upstash } from "@upstash/redis";
import { createClient } from "redis";
const { PORT, REST_MS = 250 } = process.env;
const silent = (client) => client.on("error", () => {});
const rest = { url: `http://127.0.0.1:${PORT}`, token: "hunter2" };
const ioredis = silent(new Redis({ port: PORT, host: "127.0.0.1", password: "hunter2", maxRetriesPerRequest: null }));
const nodeRedis = silent(createClient({ url: `redis://:hunter2@127.0.0.1:${PORT}` }));
nodeRedis.connect().catch(() => {});
const clients = { rest, upstash: new Upstash(rest), ioredis, redis: nodeRedis };
const results = {};
for (const [name, client] of Object.entries(clients)) {
  const timeoutMs = name === "rest" ? Number(REST_MS) : 250;
  results[name] = await outcome(() => new EmbeddingClient(client, { timeoutMs }).enqueue("a", "http://host/"));
}
ioredis.disconnect();
nodeRedis.destroy();
"""


@pytest.fixture
def run(run_js: Run) -> Run:
    """Run a program that begins with PRELUDE."""
    return lambda script, **variables: run_js(PRELUDE + script, **variables)


def test_a_server_that_never_answers_ends_after_the_deadline(run: Run) -> None:
    """A client that gives up later must not end the program: rejections without a `catch` do."""
    closing = threading.Event()
    with SocketServer(lambda _: _wait(closing)) as server:
        results = run(CLIENTS + "setTimeout(() => print(results), 300);", PORT=str(server.port))
        closing.set()
    host, late = f"127.0.0.1:{server.port}", "it did not answer within 0.25 s"
    assert results == {
        "rest": FAILED.format(host, late),
        "upstash": FAILED.format(host, late),
        "ioredis": FAILED.format(host, f'{late} (the client\'s status is "connect")'),
        "redis": FAILED.format(host, f"{late} (the client is reconnecting)"),
    }


def _wait(event: threading.Event) -> None:
    event.wait(30)


def test_a_closed_port_is_named(run: Run) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses connections
        port = unused.getsockname()[1]
        results = run(CLIENTS + "setTimeout(() => print(results), 300);", PORT=str(port), REST_MS="20000")
    for result in results.values():
        assert result.startswith(FAILED.format(f"127.0.0.1:{port}", ""))
        assert "hunter2" not in result
    assert results["rest"].endswith(f"connect ECONNREFUSED 127.0.0.1:{port}")


REDIRECTS = "it redirects to another address, which is not followed: check url"
NOT_UPSTASH = "its answer (HTTP {}) is not one of Upstash's REST interface: check url"
# What the server answers, and what the error says.
ANSWERS = [
    (307, "<html>", REDIRECTS),
    (401, "<html>", "it refuses the token (HTTP 401): check token"),
    (403, "<html>", "it refuses the token (HTTP 403): check token"),
    (429, "", "it refuses more requests for now (HTTP 429): enqueue more slowly, or choose a larger plan"),
    *[(status, "<html>", NOT_UPSTASH.format(status)) for status in (200, 404, 500, 502)],
    *[(200, body, NOT_UPSTASH.format(200)) for body in ("", "null", "7", "[]", '{"result":"OK"}', '{"result":7')],
    (400, '{"error":"ERR max requests limit exceeded"}', "ERR max requests limit exceeded"),
    (200, '{"error":"ERR in a good answer"}', "ERR in a good answer"),
    (400, '{"error":"ERR \\u001b[31m\\n token hunter2"}', "ERR [31m token ***"),
    (400, '{"error":"READONLY no writes"}', "it is not the primary, or not ready: READONLY no writes"),
    (
        400,
        '{"error":"MISCONF Redis cannot save"}',
        "it refuses writes because it cannot save them: check its log, and the free space on its disk",
    ),
    (400, '{"error":"NOPERM no LPUSH"}', "this user or token may not push on the queue; use one that may write"),
    (
        400,
        '{"error":"MOVED 1 127.0.0.1:7"}',
        "a Redis Cluster is not supported; use a Redis with one primary, with Sentinel or without",
    ),
    (400, json.dumps({"error": "x" * 400}), "x" * 300 + "..."),
    (400, json.dumps({"error": "x" * 298 + "hunter2"}), "x" * 298 + "**..."),
]


class Answers(LoopbackServer):
    """Answers a POST to `/<number>` with that one of ANSWERS, and redirects to another path."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                owner.paths.append(self.path)
                self.rfile.read(int(self.headers["content-length"]))
                status, text, _ = ANSWERS[int(self.path[1:])]
                self.send_response(status)
                self.send_header("Location", "/followed")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(Handler)


def test_what_rest_answers(run: Run) -> None:
    """One request each: neither is a redirect followed nor a refused job sent again."""
    server = Answers()
    results = run(
        """
        const results = [];
        for (let number = 0; number < process.env.COUNT; number++) {
          const client = new EmbeddingClient({ url: `${process.env.AT}/${number}`, token: "hunter2" });
          results.push(await outcome(() => client.enqueue("a", "http://host/")));
        }
        print(results);
        """,
        AT=server.url,
        COUNT=str(len(ANSWERS)),
    )
    server.close()
    host = server.url.removeprefix("http://")
    assert results == [FAILED.format(host, reason) for _, _, reason in ANSWERS]
    assert server.paths == [f"/{number}" for number in range(len(ANSWERS))]


def test_a_connection_that_died_is_no_failure(run: Run) -> None:
    """A function that was suspended finds that the server has closed its connection: the job is sent once more."""
    bodies: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        with connection.makefile("rb") as request:
            while (line := request.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    size = int(line.partition(b":")[2])
            bodies.append(request.read(size))
        if len(bodies) > 1:
            connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"result":1}')

    with SocketServer(serve) as server:
        script = 'print(await new EmbeddingClient({ url: process.env.AT, token: "t" }).enqueue("a", "http://host/"));'
        assert run(script, AT=server.url) in bodies[0].decode()
    assert bodies == [bodies[0]] * 2


def test_a_client_that_would_lose_jobs_is_refused(run: Run) -> None:
    """Or an option that would turn the deadline off."""
    results = run("""
        import { Cluster, Redis } from "ioredis";
        import { createClient, createCluster } from "redis";
        const io = (options) => new Redis({ lazyConnect: true, ...options });
        const given = [
          io({ keyPrefix: "app:" }),
          createClient({ url: "redis://host", keyPrefix: "app:" }),
          new Cluster([{ host: "127.0.0.1", port: 1 }], { lazyConnect: true }),
          createCluster({ rootNodes: [{ url: "redis://host" }] }),
          "redis://:hunter2@host",
          null,
          undefined,
          {},
        ];
        const timeouts = [0, -1, NaN, Infinity, 2 ** 31, "2000"];
        print(await Promise.all([
          ...given.map((redis) => outcome(() => new EmbeddingClient(redis))),
          ...timeouts.map((timeoutMs) => outcome(() => new EmbeddingClient(io(), { timeoutMs }))),
        ]));
    """)
    prefix = "the client has a keyPrefix, so workers would not find the jobs: pass a client without keyPrefix"
    cluster = "a Redis Cluster is not supported; use a Redis with one primary, with Sentinel or without"
    expected = "pass a client of ioredis, redis or @upstash/redis, or {url, token} of Upstash's REST interface"
    timeout = "timeoutMs must be a number of milliseconds above 0, at most 2147483647"
    reasons = [
        prefix,
        prefix,
        cluster,
        cluster,
        *(f"{expected}, not {what}" for what in ("string", "null", "undefined")),
    ]
    assert results == [f"ConfigurationError: {reason}" for reason in [*reasons, expected, *[timeout] * 6]]


URL, TOKEN = "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"
NOT_REST = f"{URL} is not a URL of Upstash's REST interface, such as https://xyz.upstash.io"
VARIABLES: list[tuple[dict[str, str], str]] = [
    ({}, f"{URL} and {TOKEN} (or KV_REST_API_URL and KV_REST_API_TOKEN) are not set"),
    (
        {"REDIS_URL": "redis://:hunter2@host"},
        "are not set, but REDIS_URL is: pass a client of ioredis or redis, such as new EmbeddingClient(",
    ),
    ({URL: "https://host"}, f"{TOKEN} is missing or empty"),
    ({TOKEN: "hunter2"}, f"{URL} is missing or empty"),
    ({"KV_REST_API_URL": "https://host"}, "KV_REST_API_TOKEN is missing or empty"),
    ({URL: " ", TOKEN: "hunter2"}, f"{URL} is missing or empty"),
    ({URL: '""', TOKEN: "hunter2"}, f"{URL} is missing or empty"),
    (
        {URL: "rediss://default:hunter2@host:6379", TOKEN: "x"},
        f"{URL} is a redis:// URL, not https://; for redis://, pass a client",
    ),
    ({URL: "host.upstash.io", TOKEN: "hunter2"}, NOT_REST),
    ({URL: "https://hunter2@host", TOKEN: "x"}, NOT_REST),
    ({URL: "https://host?_token=hunter2", TOKEN: "x"}, NOT_REST),
    ({URL: "https://ho st", TOKEN: "x"}, NOT_REST),
    ({URL: "https://host", TOKEN: "hunter2 hunter2"}, f"{TOKEN} contains a space or a character that no token has"),
    ({URL: "https://host", TOKEN: "hunter2\nX: y"}, f"{TOKEN} contains a space or a character that no token has"),
]


def test_from_env_says_which_variable_is_wrong(run: Run) -> None:
    results = run(
        """
        const given = JSON.parse(process.env.GIVEN);
        const results = await Promise.all(given.map((env) => outcome(() => EmbeddingClient.fromEnv(env))));
        print([...results, await outcome(() => EmbeddingClient.fromEnv())]);
        """,
        GIVEN=json.dumps([variables for variables, _ in VARIABLES]),
        REDIS_URL="redis://:hunter2@host",
    )
    for result, (_, message) in zip(results, [*VARIABLES, VARIABLES[1]], strict=True):
        assert result.startswith("ConfigurationError: ")
        assert message in result
        assert "hunter2" not in result


def test_from_env_reads_values_as_people_paste_them(run: Run, queue: redis.Redis, redis_url: str) -> None:
    """With quotes, white space or a slash at the end; of both names the first; from `process.env` or another object."""
    with Upstash(redis_url) as upstash:
        results = run(
            """
            const results = [await outcome(() => EmbeddingClient.fromEnv().enqueue("a", "http://host/"))];
            for (const [before, after] of [['"', '"'], ["' ", "'"], [" ", "\\n"], ["", ""]]) {
              const KV_REST_API_URL = `${before}${url}/${after}`, KV_REST_API_TOKEN = `${before}${token}${after}`;
              const client = EmbeddingClient.fromEnv({ KV_REST_API_URL, KV_REST_API_TOKEN }, { timeoutMs: 5000 });
              results.push(await outcome(() => client.enqueue("a", "http://host/")));
            }
            print(results);
            """,
            UPSTASH_REDIS_REST_URL=upstash.url,
            UPSTASH_REDIS_REST_TOKEN=upstash.token,
            KV_REST_API_URL="http://127.0.0.1:1",
        )
    assert queued_task_ids(queue) == results
    assert len(results) == 5
