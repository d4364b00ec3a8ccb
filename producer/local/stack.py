"""Starts, checks and stops the embedded stack: a Valkey server, a MongoDB-compatible server, workers and the HTTP API.

Needs the extra `local`. The servers listen on 127.0.0.1 only and have no password.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Self

from producer.local import servers
from producer.local.claims import StackError, claim_port, lock_folder
from producer.local.environment import LOG_FOR_PEOPLE, up_environment
from producer.local.guardian import guardian_runs, start_guarded
from producer.local.logs import tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

__all__ = ["LOOPBACK_ALLOWED", "Stack", "StackError"]

# Settings that let a worker fetch from this machine.
LOOPBACK_ALLOWED = {"CLIPQUEUE_FETCH_ALLOW_NETWORKS": "127.0.0.0/8,::1/128", "CLIPQUEUE_FETCH_PORTS": "1-65535"}

# Celery's warning takes eight lines, and would hide the reason why a worker has ended.
_ROOT_WARNING = "You're running the worker with superuser privileges"
_SERVER_START_S = 30.0
# The weights may have to be downloaded. The download gives up after 6 minutes if the hub does not answer.
_WORKER_START_S = 600.0
_STOP_S = 40.0
_CHECK_S = 0.2
_POLL_S = 0.05
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass
class _Part:
    """One child process and its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        code = self.process.poll()
        if code is not None:
            raise StackError(f"{self.name} has ended (exit code {code}){tail(self.log)}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Stack:
    """The embedded stack as a context manager, which stops everything that it has started.

    Args:
        data_dir: An existing folder for the servers' files and logs.
        redis_port: The port of Redis; 0 takes a free one.
        mongo_port: The port of MongoDB; 0 takes a free one.
        shell: The variables that the parts inherit; by default, those of this process that do not break the stack.

    Attributes:
        redis_url: The value for REDIS_URL.
        mongodb_uri: The value for MONGODB_URI.

    Raises:
        StackError: The folder or a port is in use.
    """

    def __init__(
        self, data_dir: Path, *, redis_port: int = 0, mongo_port: int = 0, shell: Mapping[str, str] | None = None
    ) -> None:
        self._data_dir = data_dir
        self._shell = up_environment(os.environ) if shell is None else dict(shell)
        self._redis_port = claim_port(redis_port, "--redis-port")
        self._mongo_port = claim_port(mongo_port, "--mongo-port")
        self.redis_url = f"redis://{servers.HOST}:{self._redis_port}/0"
        self.mongodb_uri = f"mongodb://{servers.HOST}:{self._mongo_port}/clipqueue"
        self._parts: list[_Part] = []
        self._lock = lock_folder(data_dir)

    def start_servers(self) -> None:
        """Start Redis and MongoDB, and wait until both answer.

        Raises:
            StackError: One of them has ended or does not answer.
        """
        self.start("redis", self._redis_command(), env=self._shell)
        self.start("mongo", self._mongo_command(), env=self._shell)
        self._wait_for("redis", self._redis_answers, _SERVER_START_S)
        self._wait_for("mongo", self._mongo_answers, _SERVER_START_S)

    def start_worker(self, env: Mapping[str, str] | None = None, name: str = "worker") -> subprocess.Popen[bytes]:
        """Start a worker, wait until it consumes the queue, and return its process.

        Args:
            env: Variables to set in addition to `environment()`.
            name: The worker's name, and that of its log file.

        Raises:
            StackError: A part has ended (the message has its last log lines), or the worker does not answer.
        """
        node = f"{name}@{socket.gethostname()}"
        python = [sys.executable, "-W", f"ignore:{_ROOT_WARNING}"]
        command = [*python, "-m", "celery", "-A", "worker.app", "worker", "-n", node]
        environment = {**self.environment(), **(env or {})}
        process = self.start(name, command, env=environment)
        self._wait_for(name, lambda: servers.worker_answers(self.redis_url, node), _WORKER_START_S)
        return process

    def start_api(self, env: Mapping[str, str] | None = None, port: int = 0) -> str:
        """Start the HTTP API with its search page on this machine, wait until it answers, and return its address.

        Args:
            env: Variables to set in addition to `environment()`.
            port: The port; 0 takes a free one.

        Raises:
            StackError: The port is in use, a part has ended, or the API does not answer.
        """
        port = claim_port(port, "--api-port")
        url = f"http://{servers.HOST}:{port}"
        listen = {"CLIPQUEUE_API_HOST": servers.HOST, "CLIPQUEUE_API_PORT": str(port)}
        command = [sys.executable, "-m", "producer", "serve"]
        self.start("api", command, env={**self.environment(), **(env or {}), **listen})
        self._wait_for("api", lambda: servers.api_answers(url), _SERVER_START_S)
        return url

    def stop_one(self, process: subprocess.Popen[bytes]) -> None:
        """Stop one part and remove it from the stack."""
        part = next(part for part in self._parts if part.process is process)
        self._parts.remove(part)
        part.stop()

    def start(self, name: str, command: list[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a child process as a part of the stack. Its output goes to its log file."""
        log = self.log(name)
        with log.open("ab") as output:
            # It gets a session of its own: Ctrl-C reaches this process only, which then stops the parts in order.
            process = start_guarded(command, env=env, stdout=output, stderr=output)
        self._parts.append(_Part(name, process, log))
        return process

    def log(self, name: str) -> Path:
        """Return the log file of a part; `worker` and `api` are those that this class starts."""
        return self._data_dir / f"{name}.log"

    def environment(self) -> dict[str, str]:
        """Return the variables that a worker of this stack needs, with those that it inherits."""
        own = {"REDIS_URL": self.redis_url, "MONGODB_URI": self.mongodb_uri}
        return {**LOOPBACK_ALLOWED, **self._shell, **LOG_FOR_PEOPLE, **own}

    def check(self) -> None:
        """Check that all parts are running.

        Raises:
            StackError: A part has ended, or the process that would stop the others if this one were killed.
        """
        for part in self._parts:
            part.check()
        if self._parts and not guardian_runs():
            raise StackError("the process that stops the others if this one is killed has ended, so all stop now")

    def watch(self) -> NoReturn:
        """Check the parts again and again.

        Raises:
            StackError: A part has ended.
        """
        while True:
            self.check()
            time.sleep(_CHECK_S)

    def stop(self) -> None:
        """Stop all parts, the last one started first, so that a worker requeues its jobs while Redis is running."""
        # A second Ctrl-C must not interrupt this.
        is_main = threading.current_thread() is threading.main_thread()
        previous = {number: signal.signal(number, signal.SIG_IGN) for number in _STOP_SIGNALS if is_main}
        try:
            while self._parts:
                self._parts.pop().stop()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def _redis_command(self) -> list[str]:
        return servers.redis_command(self._data_dir, self._redis_port)

    def _mongo_command(self) -> list[str]:
        return servers.mongo_command(self._data_dir, self._mongo_port)

    def _redis_answers(self) -> bool:
        return servers.redis_answers(self.redis_url)

    def _mongo_answers(self) -> bool:
        return servers.mongo_answers(self.mongodb_uri)

    def _wait_for(self, name: str, answers: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not answers():
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{name} did not answer within {seconds:g} s{tail(self.log(name))}")
            time.sleep(_POLL_S)
