"""The producer's client against a real Redis: what it puts there, and how it fails."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from producer import BrokerUnavailable, ConfigurationError, EmbeddingClient, InvalidJob
from tests.support.servers import SocketServer, tls_context

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack


def test_enqueue_puts_one_message_and_returns_its_task_id(own: Stack, own_broker: redis.Redis) -> None:
    with EmbeddingClient(own.redis_url) as client:
        task_id = client.enqueue("a", "http://host/a.jpg")
    (raw,) = own_broker.lrange("images", 0, -1)
    assert json.loads(raw)["headers"]["id"] == task_id


def test_enqueue_many_puts_all_in_order(own: Stack, own_broker: redis.Redis) -> None:
    """More than one chunk; the queue is read from its right end."""
    with EmbeddingClient(own.redis_url) as client:
        assert client.enqueue_many((f"id-{n}", f"http://host/{n}.jpg") for n in range(1201)) == 1201
    shown = [json.loads(raw)["headers"]["kwargsrepr"] for raw in reversed(own_broker.lrange("images", 0, -1))]
    assert ["id-0'" in shown[0], "id-1200'" in shown[-1], len(shown)] == [True, True, 1201]


def test_a_job_that_cannot_be_used_is_refused_at_the_call(own: Stack, own_broker: redis.Redis) -> None:
    with EmbeddingClient(own.redis_url) as client:
        for image_id, url in [("", "http://host/"), ("a", "ftp://host/"), ("a", "http://host/" + "x" * 2048)]:
            with pytest.raises(InvalidJob):
                client.enqueue(image_id, url)
    assert own_broker.llen("images") == 0


def test_a_broker_that_is_away_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses connections
        port = unused.getsockname()[1]
        client = EmbeddingClient(f"redis://user:hunter2@127.0.0.1:{port}/0")
        with pytest.raises(BrokerUnavailable, match=f"127.0.0.1:{port}") as caught:
            client.enqueue("a", "http://host/")
    assert "hunter2" not in str(caught.value)
    assert isinstance(caught.value, ConnectionError)


def test_a_host_name_that_is_none_is_a_broker_that_is_away() -> None:
    with EmbeddingClient("redis://no..such/0") as client, pytest.raises(BrokerUnavailable, match=r"no\.\.such"):
        client.enqueue("a", "http://host/")


def test_a_broker_that_refuses_is_an_error_of_the_same_kind(own: Stack, own_broker: redis.Redis) -> None:
    """A full Redis (noeviction) must not look like success."""
    own_broker.config_set("maxmemory", "1")
    try:
        with EmbeddingClient(own.redis_url) as client, pytest.raises(BrokerUnavailable, match="memory"):
            client.enqueue("a", "http://host/")
    finally:
        own_broker.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@host", "redis://:hunter2@host:port/0", "redis://:hunter2@host/0?no_such=1", "nonsense"]
)
def test_a_url_that_cannot_be_read_says_what_one_looks_like(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as caught:
        EmbeddingClient(url)
    assert "hunter2" not in str(caught.value)


def test_from_env_needs_redis_url(monkeypatch: pytest.MonkeyPatch, own: Stack, own_broker: redis.Redis) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        EmbeddingClient.from_env()
    monkeypatch.setenv("REDIS_URL", own.redis_url)
    with EmbeddingClient.from_env() as client:
        client.enqueue("a", "http://host/")
    assert own_broker.llen("images") == 1


@pytest.mark.parametrize("module", ["producer", "worker.health"])
def test_rediss_checks_the_certificate_before_the_password_is_sent(module: str) -> None:
    """On both sides of the queue; kombu by itself would check nothing."""
    received: list[bytes] = []
    context = tls_context(trustme.CA(), "127.0.0.1")  # by an authority that nobody trusts
    arguments = ["enqueue", "http://host/a.jpg"] if module == "producer" else []
    with SocketServer(lambda connection: received.append(connection.recv(1000)), context) as server:
        env = {**os.environ, "REDIS_URL": f"rediss://:hunter2@127.0.0.1:{server.port}/0"}
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr
    assert received == []


# What the base install does not have; an import of any of these there would be an ImportError.
HEAVY = (
    "celery",
    "kombu",
    "torch",
    "open_clip",
    "motor",
    "pymongo",
    "bson",
    "PIL",
    "numpy",
    "requests",
    "rich",
    "tqdm",
)
BLOCK_AND_ENQUEUE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy!r}:
            raise ImportError(name + " is not in the base install")
sys.meta_path.insert(0, Absent())
import producer, producer.cli.main
with producer.EmbeddingClient({url!r}) as client:
    client.enqueue("a", "http://host/a.jpg")
print(sorted(set({heavy!r}) & set(sys.modules)))
"""


def test_the_base_install_is_enough_to_enqueue(own: Stack, own_broker: redis.Redis) -> None:
    script = BLOCK_AND_ENQUEUE.format(heavy=HEAVY, url=own.redis_url)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert own_broker.llen("images") == 1


@pytest.mark.parametrize("absent", ["pymongo", "tqdm"])
@pytest.mark.parametrize("command", [["backfill", "--url-field", "url"], ["retry"], ["sweep"], ["status", "a"]])
def test_a_command_that_needs_an_extra_names_it(absent: str, command: list[str], own: Stack) -> None:
    """Each needs pymongo, and those with a progress bar tqdm."""
    needs_tqdm = command[0] in ("backfill", "retry")
    hidden = f"import sys; sys.modules[{absent!r}] = None; sys.argv[1:] = {command!r}"
    script = f"{hidden}; from producer.cli.main import main; main()"
    env = {**os.environ, "REDIS_URL": own.redis_url, "MONGODB_URI": own.mongodb_uri}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert ("extra 'mongo'" in done.stderr) == (absent == "pymongo" or needs_tqdm)
    assert "Traceback" not in done.stderr


def test_the_base_install_requires_redis_and_click_alone() -> None:
    needed = [line for line in requires("clipqueue") or [] if "extra ==" not in line]
    assert sorted(line.split(">")[0].split("<")[0] for line in needed) == ["click", "redis"]


def test_the_producer_does_not_import_the_worker() -> None:
    """But for the two commands that load a model in their own process, and those only once they are asked to."""
    sources = (Path(__file__).parents[3] / "producer").rglob("*.py")
    imports = re.compile(r"^( *)(from|import) worker", re.MULTILINE)
    found = {path.name: imports.findall(path.read_text()) for path in sources}
    assert {name for name, lines in found.items() if lines} == {"model.py", "demo.py"}
    type_only = re.compile(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", re.MULTILINE)
    for name in ("cli/model.py", "local/demo.py"):
        text = type_only.sub("", (Path(__file__).parents[3] / "producer" / name).read_text())
        assert all(len(indent) >= 4 for indent, _ in imports.findall(text)), name
