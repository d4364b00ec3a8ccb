"""No command shows an error of Redis or MongoDB raw: one sentence says what happened, where, and what to do."""

from __future__ import annotations

import os
import re
import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click
import pymongo
import pytest
import trustme

from producer.cli.main import cli
from tests.support.commands import COMMAND, invoke, start
from tests.support.mongo_proxy import error_answer, refusing
from tests.support.redis_servers import Relay, port_of, valkey
from tests.support.servers import SocketServer, tls_context

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

    from producer.local.stack import Stack
    from tests.support.commands import Completed

# A command line for each command that talks to a server.
LINES: Mapping[str, tuple[str, ...]] = {
    "enqueue": ("enqueue", "http://host/a.jpg", "--id", "a"),
    "enqueue --record": ("enqueue", "http://host/a.jpg", "--id", "a", "--record"),
    "status": ("status", "a"),
    "search": ("search", "a red bicycle"),
    "search --like": ("search", "--like", "a"),
    "duplicates": ("duplicates", "--model", "m/m"),
    "index create": ("index", "create", "--dim", "4"),
    "index show": ("index", "show"),
    "index drop": ("index", "drop"),
    "failed": ("failed",),
    "parked list": ("parked", "list"),
    "parked requeue": ("parked", "requeue", "--all"),
    "parked drop": ("parked", "drop", "--all", "--yes"),
    "purge": ("purge", "--yes"),
    "backfill": ("backfill", "--url-field", "url", "--only", "missing"),
    "retry": ("retry",),
    "sweep": ("sweep", "--age", "0"),
    "doctor": ("doctor",),
    "stats": ("stats",),
}
# They run on while a server is away (below), or need none.
OTHERS = {"serve", "notify", "up", "demo", "top", "model show", "model pull"}
READ_REDIS = {
    *("enqueue", "enqueue --record", "search", "doctor", "parked list", "parked requeue", "parked drop", "purge"),
    *("backfill", "retry", "sweep", "stats"),
}
WRITE_REDIS = {"enqueue", "enqueue --record", "backfill", "retry", "sweep"}
USE_MONGODB = {
    *("enqueue --record", "status", "search --like", "duplicates", "index create", "index show", "index drop"),
    *("failed", "backfill", "retry", "sweep", "doctor"),
}
WITH_EVERY_COMMAND = {"nothing", "full", "cluster", "http", "unauthorized", "stepdown"}
# What only a library or the system would say.
RAW = re.compile(
    r"Traceback|\bError [-\d]|Errno|_ssl\.c|\[SSL|b'|b\"|full error|Command #|Protocol Error|Topology|TimeoutMS|NOPERM|"
    r"WRONGPASS|NOAUTH|MISCONF|<redis|object at 0x|errmsg|hunter2|\*\*\*"
)
LOGIN = ":hunter2"
QUICK = "socket_timeout=0.3&socket_connect_timeout=0.3"
MONGO_QUICK = "serverSelectionTimeoutMS=150&connectTimeoutMS=150"


def leaves(command: click.Command, *names: str) -> Iterator[str]:
    """Yield the names of all commands that are no groups."""
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from leaves(one, *names, name)
    else:
        yield " ".join(names)


def test_every_command_is_tried() -> None:
    tried = {name.partition(" --")[0] for name in LINES} | OTHERS
    assert set(leaves(cli)) == tried, "a new command needs a line here"
    assert set(LINES) == READ_REDIS | USE_MONGODB


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Run a server that answers everything with these bytes, and yield its port."""

    def serve(connection: socket.socket) -> None:
        while connection.recv(65_536):
            connection.sendall(answer)

    with SocketServer(serve) as server:
        yield server.port


def hang_up(connection: socket.socket) -> None:
    """Close the connection as soon as something arrives."""
    connection.recv(1)


SCRIPTED = {
    "misconf": b"-MISCONF Errors writing to the AOF file: No space left on device\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "busy": b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
    "protected": b"-DENIED Redis is running in protected mode because no password is set.\r\n",
    "billed": b"-ERR max daily request limit exceeded. Limit: 10000, Usage: 10001.\r\n",
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
}


@pytest.fixture(scope="module")
def redis_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """URLs of servers by what is wrong with them."""
    folder = tmp_path_factory.mktemp("redis")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    context = tls_context(authority, "127.0.0.1")
    users = (
        "user default on >secret ~* &* +@all",
        "user nothing on >hunter2 ~* &* +ping",
        "user nokey on >hunter2 ~other &* +@all",
        "user all on >hunter2 ~* &* +@all",
    )
    with ExitStack() as stack:
        port = port_of(stack.enter_context(valkey(folder / "valkey", *users)))
        full = port_of(stack.enter_context(valkey(folder / "full", "maxmemory 1", users[-1])))
        replica = port_of(stack.enter_context(valkey(folder / "replica", "replicaof 127.0.0.1 1", users[-1])))
        cluster = port_of(stack.enter_context(valkey(folder / "cluster", "cluster-enabled yes", users[-1])))
        relay = stack.enter_context(Relay(port, context))
        scripted = {name: stack.enter_context(answering(answer)) for name, answer in SCRIPTED.items()}
        silent = stack.enter_context(SocketServer(hang_up))
        tls_only = stack.enter_context(SocketServer(hang_up, context))
        junk = folder / "junk.pem"
        junk.write_text("junk")
        yield {
            "noauth": f"redis://127.0.0.1:{port}/0",
            "wrongpass": f"redis://{LOGIN}@127.0.0.1:{port}/0",
            "nothing": f"redis://nothing{LOGIN}@127.0.0.1:{port}/0",
            "nokey": f"redis://nokey{LOGIN}@127.0.0.1:{port}/0",
            "database": f"redis://all{LOGIN}@127.0.0.1:{port}/99",
            "full": f"redis://all{LOGIN}@127.0.0.1:{full}/0",
            "readonly": f"redis://all{LOGIN}@127.0.0.1:{replica}/0",
            "cluster": f"redis://all{LOGIN}@127.0.0.1:{cluster}/0",
            "untrusted": f"rediss://all{LOGIN}@127.0.0.1:{relay.port}/0?ssl_ca_certs={folder}/other.pem",
            "name": f"rediss://all{LOGIN}@localhost:{relay.port}/0?ssl_ca_certs={folder}/ca.pem",
            "junk": f"rediss://{LOGIN}@127.0.0.1:{relay.port}/0?ssl_certfile={junk}",
            "no file": f"rediss://{LOGIN}@127.0.0.1:{relay.port}/0?ssl_ca_certs={folder}/none.pem",
            "tls to plain": f"rediss://{LOGIN}@127.0.0.1:{port}/0?{QUICK}",
            "plain to tls": f"redis://{LOGIN}@127.0.0.1:{tls_only.port}/0?{QUICK}",
            "refused": f"redis://{LOGIN}@127.0.0.1:1/0",
            "unknown name": f"redis://{LOGIN}@no-such-host.invalid:6379/0",
            "odd name": f"redis://{LOGIN}@a..b:6379/0",
            "closed": f"redis://{LOGIN}@127.0.0.1:{silent.port}/0",
            **{name: f"redis://{LOGIN}@127.0.0.1:{one}/0?{QUICK}" for name, one in scripted.items()},
        }


REDIS_REASONS = {
    "noauth": "it wants a password",
    "wrongpass": "it refuses the user or the password in REDIS_URL",
    "nothing": "permissions that docs/deployment.md lists",
    "nokey": "permissions that docs/deployment.md lists",
    "database": "choose a lower one at the end of REDIS_URL",
    "full": "it is full",
    "readonly": "name the primary in REDIS_URL",
    "cluster": "a Redis Cluster is not supported",
    "untrusted": "its certificate is not trusted",
    "name": "Hostname mismatch",
    "junk": "ssl_certfile and ssl_keyfile hold no usable certificate",
    "no file": "ssl_ca_certs names a file that cannot be read",
    "tls to plain": "check the port and redis:// or rediss://",
    "plain to tls": "redis:// or rediss:// in REDIS_URL",
    "refused": "the connection was refused: check that it runs",
    "unknown name": "its name cannot be resolved",
    "odd name": "its host is not a valid name",
    "closed": "it closed the connection",
    "misconf": "check its log, and the free space on its disk",
    "loading": "try again soon",
    "busy": "a script blocks it",
    "protected": "set a password there",
    "billed": "it answered: max daily request limit exceeded",
    "http": "something else than Redis answers there",
}


@pytest.fixture(scope="module")
def documents(stack: Stack) -> Iterator[dict[str, str]]:
    """The settings for a collection that has something to do for each command."""
    with pymongo.MongoClient[dict[str, Any]](stack.mongodb_uri) as client:
        collection = client["clipqueue"]["errors"]
        failed = {"status": "failed", "url": "http://host/b.jpg", "error": {"code": "http_404"}}
        collection.insert_many(
            [
                {"_id": "a", "url": "http://host/a.jpg"},
                {"_id": "b", "url": "http://host/b.jpg", "embedding_job": failed},
            ]
        )
        yield {"MONGODB_URI": stack.mongodb_uri, "CLIPQUEUE_COLLECTION": "errors"}
        collection.drop()


@pytest.mark.parametrize("wrong", REDIS_REASONS)
def test_an_error_of_redis_is_a_sentence(wrong: str, redis_urls: dict[str, str], documents: dict[str, str]) -> None:
    affected = WRITE_REDIS if wrong in ("full", "readonly") else READ_REDIS
    for name in chosen(READ_REDIS, wrong, REDIS_REASONS):
        done = invoke(*LINES[name], **documents, REDIS_URL=redis_urls[wrong])
        shown = check_output(name, done)
        if name in affected:
            assert REDIS_REASONS[wrong] in shown, (name, shown)
            assert wrong in ("junk", "no file") or where(redis_urls[wrong]) in shown, (name, shown)
            assert done.returncode == (3 if name in ("search", "stats") else 1), (name, shown)


def chosen(names: set[str], wrong: str, reasons: Mapping[str, str]) -> list[str]:
    """Return all commands for some errors, and a third of them, each time others, else, as all share the words."""
    if wrong in WITH_EVERY_COMMAND:
        return sorted(names)
    return sorted(names)[list(reasons).index(wrong) % 3 :: 3]


def check_output(name: str, done: Completed) -> str:
    """Check that a command's output is no raw error; return it."""
    shown = done.stdout + done.stderr
    assert not RAW.search(shown), (name, shown)
    if name != "doctor" and done.returncode:
        (line,) = done.stderr.splitlines()
        assert line.startswith("clipqueue: "), (name, line)
    return shown


def where(url: str) -> str:
    return re.sub(r"[/?].*", "", url.partition("://")[2].rpartition("@")[2])


@pytest.fixture(scope="module")
def mongodb_uris(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """URIs of servers by what is wrong with them."""
    folder = tmp_path_factory.mktemp("mongodb")
    address = stack.mongodb_uri.partition("://")[2].partition("/")[0]
    answers = {
        "login": error_answer(18, "AuthenticationFailed", "Authentication failed."),
        "atlas login": error_answer(8000, "AtlasError", "bad auth : authentication failed"),
        "unauthorized": error_answer(13, "Unauthorized", "not authorized on clipqueue to execute command {hunter2}"),
        "slow": error_answer(50, "MaxTimeMSExpired", "operation exceeded time limit"),
        "stepdown": error_answer(10107, "NotWritablePrimary", "not primary"),
        "disk": error_answer(14031, "OutOfDiskSpace", "out of disk space"),
        "quota": error_answer(8000, "AtlasError", "you are over your space quota, using 513 MB of 512 MB"),
        "too large": error_answer(10334, "BSONObjectTooLarge", "BSONObj size: 17825792 is invalid {hunter2}"),
        "odd": error_answer(2, "BadValue", "hunter2"),
    }
    with ExitStack() as cleanup:
        proxies = {
            name: cleanup.enter_context(refusing(stack.mongodb_uri, {"*": answer})) for name, answer in answers.items()
        }
        tls_only = cleanup.enter_context(SocketServer(hang_up, tls_context(trustme.CA(), "127.0.0.1")))
        http = cleanup.enter_context(answering(SCRIPTED["http"]))
        (folder / "junk.pem").write_text("junk")
        yield {
            **{name: proxy.uri for name, proxy in proxies.items()},
            "refused": f"mongodb://user{LOGIN}@127.0.0.1:1/x?{MONGO_QUICK}",
            "unknown name": f"mongodb://user{LOGIN}@no-such-host.invalid/x?{MONGO_QUICK}",
            "srv": f"mongodb+srv://user{LOGIN}@no-such-host.invalid/x?{MONGO_QUICK}",
            "replica set": f"mongodb://{address}/x?replicaSet=other&{MONGO_QUICK}",
            "tls to plain": f"mongodb://{address}/x?tls=true&{MONGO_QUICK}",
            "plain to tls": f"mongodb://user{LOGIN}@127.0.0.1:{tls_only.port}/x?{MONGO_QUICK}",
            "untrusted": f"mongodb://user{LOGIN}@127.0.0.1:{tls_only.port}/x?tls=true&{MONGO_QUICK}",
            "http": f"mongodb://user{LOGIN}@127.0.0.1:{http}/x?{MONGO_QUICK}",
            "no file": f"mongodb://user{LOGIN}@127.0.0.1:1/x?tls=true&tlsCAFile={folder}/none.pem",
            "junk": f"mongodb://user{LOGIN}@127.0.0.1:1/x?tls=true&tlsCertificateKeyFile={folder}/junk.pem",
        }


MONGODB_REASONS = {
    "login": "it refuses the user or the password in MONGODB_URI",
    "atlas login": "it refuses the user or the password in MONGODB_URI",
    "unauthorized": "give it the role readWrite",
    "slow": "an index may be missing|did not finish the request in time",
    "stepdown": "its primary is changing: try again soon",
    "disk": "its disk is full or its quota used up",
    "quota": "its disk is full or its quota used up",
    "too large": "a document would be larger than MongoDB allows",
    "odd": "BadValue",
    "refused": "the connection was refused: check that it runs",
    "unknown name": "the name cannot be resolved",
    "srv": "the SRV record of no-such-host.invalid",
    "replica set": "check replicaSet in MONGODB_URI",
    "tls to plain": "whether MongoDB uses TLS there",
    "plain to tls": "whether MongoDB needs TLS",
    "untrusted": "its certificate is not trusted",
    "http": "something else than MongoDB answers there",
    "no file": "the file of its option tlsCAFile cannot be read",
    "junk": "tlsCertificateKeyFile holds no usable certificate or key",
}


@pytest.mark.parametrize("wrong", MONGODB_REASONS)
def test_an_error_of_mongodb_is_a_sentence(
    wrong: str, mongodb_uris: dict[str, str], documents: dict[str, str], redis_url: str
) -> None:
    env = {**documents, "MONGODB_URI": mongodb_uris[wrong], "REDIS_URL": redis_url}
    for name in chosen(USE_MONGODB, wrong, MONGODB_REASONS):
        done = invoke(*LINES[name], **env)
        shown = check_output(name, done)
        assert re.search(MONGODB_REASONS[wrong], shown), (name, shown)
        if name != "doctor":
            assert wrong in ("junk", "no file") or where(mongodb_uris[wrong]) in shown, (name, shown)
            assert done.returncode == (3 if name in ("status", "search --like", "index show") else 1), (name, shown)


@pytest.mark.parametrize(
    ("command", "note"), [("notify", "waiting until it answers"), ("sweep", "the next sweep tries")]
)
def test_what_runs_on_says_so_and_goes_on(
    command: str, note: str, redis_urls: dict[str, str], documents: dict[str, str]
) -> None:
    """They need processes of their own, as a signal ends them."""
    env = {
        **documents,
        "REDIS_URL": redis_urls["nothing"],
        "CLIPQUEUE_WEBHOOK_URL": "http://127.0.0.1:1/",
        "CLIPQUEUE_WEBHOOK_SECRET": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "CLIPQUEUE_SWEEP_EVERY_S": "0.1",
    }
    process = start([*COMMAND, command], {**os.environ, **env})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert REDIS_REASONS["nothing"] in line
        assert line.endswith("\n")
        assert note in line
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        rest = "".join(process.communicate(timeout=60))
    finally:
        process.kill()
    assert process.returncode == 0
    assert not RAW.search(line + rest)
