"""`clipqueue/workers` in workerd, the runtime of Cloudflare: passwords, databases and TLS towards a real Redis."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest
import redis
import trustme

from producer.local.guardian import start_guarded
from tests.support.node_packages import node_modules
from tests.support.queued import queued_ids
from tests.support.redis_servers import Relay, port_of, valkey
from tests.support.servers import tls_context
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Ask = Callable[[str], Any]

WORKER = """
import { EmbeddingClient } from "clipqueue";
import { redisOverTcp } from "clipqueue/workers";
export default {
  async fetch(request) {
    try {
      const client = new EmbeddingClient(redisOverTcp(await request.text()), { timeoutMs: 1000 });
      const jobs = Array.from({ length: 501 }, (_, number) => [`many-${number}`, "https://host/a.jpg"]);
      const taskId = await client.enqueue("one", "https://host/ü.jpg");
      return Response.json([taskId.length, await client.enqueueMany(jobs)]);
    } catch (error) {
      return Response.json(`${error.name}: ${error.message}`);
    }
  },
};
"""
# The spaces around `=` are needed: `=.main` is a syntax error.
CONFIG = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["127.0.0.0/8"], tlsOptions = (trustedCertificates = [embed "ca.pem"]))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "main", esModule = embed "main.js")],
  compatibilityDate = "2025-01-01",
);
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ask(js_app: Path, authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A function that enqueues one job and 501 more in a Worker, by a URL of Redis."""
    folder = tmp_path_factory.mktemp("workerd")
    (folder / "node_modules").symlink_to(js_app / "node_modules")
    (folder / "worker.js").write_text(WORKER)
    (folder / "config.capnp").write_text(CONFIG)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    bundle = ["--bundle", "--format=esm", "--external:cloudflare:sockets", "--outfile=main.js", "--log-level=warning"]
    esbuild = str(node_modules() / ".bin" / "esbuild")
    subprocess.run([esbuild, "worker.js", *bundle], cwd=folder, check=True, timeout=60)
    binaries = list((node_modules() / "@cloudflare").glob("workerd-*/bin/workerd"))
    if not binaries:
        pytest.skip("the package workerd has no program for this machine")
    with (folder / "ports").open("wb") as ports, (folder / "log").open("wb") as log:
        command = [str(binaries[0]), "serve", "--control-fd=1", str(folder / "config.capnp")]
        process = start_guarded(command, stdout=ports, stderr=log)
    try:
        wait_for(lambda: (folder / "ports").read_text().endswith("\n") or process.poll() is not None, "workerd")
        assert process.poll() is None, (folder / "log").read_text()
        address = f"http://127.0.0.1:{json.loads((folder / 'ports').read_text())['port']}/"
        yield lambda url: json.loads(urlopen(Request(address, url.encode()), timeout=30).read())
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """A Redis that asks for the password `p@ss/%`, or the user `test` with the password `test`."""
    with valkey(tmp_path_factory.mktemp("secured") / "valkey", 'requirepass "p@ss/%"') as server:
        yield server


@pytest.mark.parametrize(("login", "database"), [(":p%40ss%2F%25", 0), ("default:p%40ss%2F%25", 3), ("test:test", 15)])
def test_a_worker_signs_in_and_selects_the_database(login: str, database: int, ask: Ask, server: redis.Redis) -> None:
    port = port_of(server)
    assert ask(f"redis://{login}@127.0.0.1:{port}/{database}") == [36, 501]
    with redis.Redis(port=port, db=database, username="test", password="test") as selected:
        assert queued_ids(selected) == ["one", *(f"many-{number}" for number in range(501))]
        selected.flushall()


def test_a_job_never_goes_to_another_database(ask: Ask, server: redis.Redis) -> None:
    port = port_of(server)
    answer = ask(f"redis://test:test@127.0.0.1:{port}/99")
    assert (
        answer == f"BrokerUnavailable: Redis at 127.0.0.1:{port} did not accept the job: ERR DB index is out of range"
    )
    assert server.llen("images") == 0


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        ("", "it asks for a password, and the client sends none: put the password into the client's URL"),
        (":hunter2@", "it refuses the user name or the password"),
        ("hunter2:hunter2@", "it refuses the user name or the password"),
    ],
)
def test_a_wrong_password_is_not_repeated(login: str, reason: str, ask: Ask, server: redis.Redis) -> None:
    port = port_of(server)
    answer = ask(f"redis://{login}127.0.0.1:{port}")
    assert answer == f"BrokerUnavailable: Redis at 127.0.0.1:{port} did not accept the job: {reason}"


def test_tls_verifies_the_certificate(ask: Ask, server: redis.Redis, authority: trustme.CA) -> None:
    with Relay(port_of(server), tls_context(authority, "127.0.0.1")) as relay:
        assert ask(f"rediss://test:test@127.0.0.1:{relay.port}") == [36, 501]
    assert server.llen("images") == 502
    server.flushall()
    with Relay(port_of(server), tls_context(trustme.CA(), "127.0.0.1")) as relay:
        answer = ask(f"rediss://test:test@127.0.0.1:{relay.port}")
    assert answer.startswith(f"BrokerUnavailable: Redis at 127.0.0.1:{relay.port} did not accept the job: ")
    assert server.llen("images") == 0
