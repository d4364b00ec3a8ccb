"""The client against a real Redis: the messages that it enqueues, and its errors."""

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
from tests.support.queued import queued_kwargs
from tests.support.servers import SocketServer, tls_context

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack


def test_enqueue_pushes_one_message_and_returns_its_task_id(own: Stack, own_broker: redis.Redis) -> None:
    with EmbeddingClient(own.redis_url) as client:
        task_id = client.enqueue("a", "http://host/a.jpg")
    (raw,) = own_broker.lrange("images", 0, -1)
    assert json.loads(raw)["headers"]["id"] == task_id


def test_enqueue_many_pushes_all_messages_in_order(own: Stack, own_broker: redis.Redis) -> None:
    """There are several chunks. Workers read the queue from its right end."""
    with EmbeddingClient(own.redis_url) as client:
        assert client.enqueue_many((f"id-{n}", f"http://host/{n}.jpg") for n in range(1201)) == 1201
    shown = [json.loads(raw)["headers"]["kwargsrepr"] for raw in reversed(own_broker.lrange("images", 0, -1))]
    assert len(shown) == 1201
    assert '"id-0"' in shown[0]
    assert '"id-1200"' in shown[-1]


def test_the_last_enqueue_of_an_id_has_the_latest_time(own: Stack, own_broker: redis.Redis) -> None:
    """Within a chunk of `enqueue_many`, across chunks, and for two clients of one process."""
    pairs = [("a", "http://host/1.jpg"), ("a", "http://host/2.jpg")]
    others = ((f"id-{n}", "http://host/other.jpg") for n in range(600))
    with EmbeddingClient(own.redis_url) as client, EmbeddingClient(own.redis_url) as other_client:
        assert client.enqueue_many([*pairs, *others, ("a", "http://host/3.jpg")]) == 603
        other_client.enqueue("a", "http://host/4.jpg")
        client.enqueue("a", "http://host/5.jpg")
    jobs = [kwargs for kwargs in queued_kwargs(own_broker) if kwargs["image_id"] == "a"]
    times = [kwargs["enqueued_at"] for kwargs in jobs]
    assert [kwargs["url"][-5] for kwargs in jobs] == ["1", "2", "3", "4", "5"]
    assert times == sorted(set(times))


def test_enqueue_refuses_an_invalid_job(own: Stack, own_broker: redis.Redis) -> None:
    with EmbeddingClient(own.redis_url) as client:
        for image_id, url in [("", "http://host/"), ("a", "ftp://host/"), ("a", "http://host/" + "x" * 8192)]:
            with pytest.raises(InvalidJob):
                client.enqueue(image_id, url)
    assert own_broker.llen("images") == 0


def test_an_unreachable_redis_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses connections
        port = unused.getsockname()[1]
        client = EmbeddingClient(f"redis://user:hunter2@127.0.0.1:{port}/0")
        with pytest.raises(BrokerUnavailable, match=f"127.0.0.1:{port}") as caught:
            client.enqueue("a", "http://host/")
    assert "hunter2" not in str(caught.value)
    assert isinstance(caught.value, ConnectionError)


def test_an_invalid_host_name_is_an_unreachable_redis() -> None:
    with EmbeddingClient("redis://no..such/0") as client, pytest.raises(BrokerUnavailable, match=r"no\.\.such"):
        client.enqueue("a", "http://host/")


def test_a_redis_that_refuses_the_message_raises_the_same_error(own: Stack, own_broker: redis.Redis) -> None:
    """Redis refuses writes when it is full and its policy is noeviction."""
    own_broker.config_set("maxmemory", "1")
    try:
        with EmbeddingClient(own.redis_url) as client, pytest.raises(BrokerUnavailable, match="memory"):
            client.enqueue("a", "http://host/")
    finally:
        own_broker.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@host", "redis://:hunter2@host:port/0", "redis://:hunter2@host/0?no_such=1", "nonsense"]
)
def test_an_unreadable_redis_url_is_named_without_its_password(url: str) -> None:
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


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["producer", "enqueue", "http://host/a.jpg"], "its certificate is not trusted"),
        (["celery", "-A", "worker.app", "inspect", "ping"], "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_rediss_verifies_the_certificate_before_it_sends_the_password(command: list[str], reason: str) -> None:
    """The client and the worker do. By default, kombu would verify nothing."""
    received: list[bytes] = []
    context = tls_context(trustme.CA(), "127.0.0.1")  # signed by an authority that is not trusted
    with SocketServer(lambda connection: received.append(connection.recv(1000)), context) as server:
        env = {**os.environ, "REDIS_URL": f"rediss://:hunter2@127.0.0.1:{server.port}/0"}
        done = subprocess.run(
            [sys.executable, "-m", *command], env=env, capture_output=True, text=True, check=False, timeout=60
        )
    assert done.returncode
    assert reason in done.stderr
    assert received == []


# The base install lacks these packages, so importing one of them there would fail.
NOT_IN_BASE = (
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
        if name.partition(".")[0] in {absent!r}:
            raise ImportError(name + " is not in the base install")
sys.meta_path.insert(0, Absent())
import producer, producer.cli.main
with producer.EmbeddingClient({url!r}) as client:
    client.enqueue("a", "http://host/a.jpg")
print(sorted(set({absent!r}) & set(sys.modules)))
"""


def test_the_base_install_is_enough_to_enqueue(own: Stack, own_broker: redis.Redis) -> None:
    script = BLOCK_AND_ENQUEUE.format(absent=NOT_IN_BASE, url=own.redis_url)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert own_broker.llen("images") == 1


# Each needs pymongo. `backfill` and `retry` show a progress bar and also need tqdm.
COMMANDS = [["backfill", "--url-field", "url"], ["retry"], ["sweep"], ["status", "a"]]
RUN_WITHOUT = """
import contextlib, io, json, sys
sys.modules[{absent!r}] = None
from producer.cli.main import main
errors = {{}}
for command in {commands!r}:
    sys.argv[1:] = command
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as stderr,
        contextlib.suppress(SystemExit),
    ):
        main()
    errors[command[0]] = stderr.getvalue()
print(json.dumps(errors))
"""


@pytest.mark.parametrize(
    ("absent", "failing"), [("pymongo", {"backfill", "retry", "sweep", "status"}), ("tqdm", {"backfill", "retry"})]
)
def test_a_command_names_the_extra_that_it_needs(absent: str, failing: set[str], own: Stack) -> None:
    script = RUN_WITHOUT.format(absent=absent, commands=COMMANDS)
    env = {**os.environ, "REDIS_URL": own.redis_url, "MONGODB_URI": own.mongodb_uri}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    errors = json.loads(done.stdout)
    assert {name for name, error in errors.items() if "extra 'mongo'" in error} == failing
    assert "Traceback" not in done.stderr + "".join(errors.values())


def test_the_base_install_requires_only_redis_and_click() -> None:
    needed = [line for line in requires("clipqueue") or [] if "extra ==" not in line]
    assert sorted(line.split(">")[0].split("<")[0] for line in needed) == ["click", "redis"]


def test_the_producer_does_not_import_the_worker() -> None:
    """Except the command that loads a model in its own process. It imports the worker inside of functions."""
    folder = Path(__file__).parents[3] / "producer"
    imports = re.compile(r"^( *)(from|import) worker", re.MULTILINE)
    found = {path.relative_to(folder).as_posix(): imports.findall(path.read_text()) for path in folder.rglob("*.py")}
    assert {name for name, lines in found.items() if lines} == {"cli/model.py"}
    type_only = re.compile(r"^if TYPE_CHECKING:\n(?:    .*\n|\n)+", re.MULTILINE)
    for name in ("cli/model.py", "local/demo_tables.py"):
        text = type_only.sub("", (Path(__file__).parents[3] / "producer" / name).read_text())
        assert all(len(indent) >= 4 for indent, _ in imports.findall(text)), name
