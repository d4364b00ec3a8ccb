"""Deadlines of downloads: a watchdog thread shuts down the socket of a download that takes too long.

requests' own timeouts only limit the wait for the next bytes. A server that sends one byte a second never reaches
them (psf/requests#3099).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_IDLE_S = 60.0

_current: ContextVar[Deadline] = ContextVar("current_deadline")


def current_deadline() -> Deadline:
    """Return the deadline of the download that this thread is running."""
    return _current.get()


class Deadline:
    """The time at which one download must end. `DownloadWatchdog.limit` creates it."""

    def __init__(self, seconds: float, watchdog: DownloadWatchdog) -> None:
        self.at = time.monotonic() + seconds
        self._watchdog = watchdog

    @property
    def is_expired(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self.at

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self.at - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        """Have `sock` shut down at the deadline, instead of the socket that was watched before."""
        self._watchdog.watch(self, sock)


class _Connection(NamedTuple):
    descriptor: int
    duplicate: socket.socket  # stays usable when TLS wraps the original


class DownloadWatchdog:
    """Enforces the deadlines of all running downloads with one thread. Safe to share between threads.

    One thread per download would often cost more than the download itself.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: dict[Deadline, _Connection] = {}
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0
        self._is_closed = False

    @contextmanager
    def limit(self, seconds: float) -> Iterator[Deadline]:
        """Limit what the block does on the network to `seconds`."""
        deadline = Deadline(seconds, self)
        token = _current.set(deadline)
        try:
            yield deadline
        finally:
            _current.reset(token)
            with self._changed:
                self._release(deadline)

    def watch(self, deadline: Deadline, sock: socket.socket) -> None:
        """Shut `sock` down at the deadline, and release the socket that this deadline watched before."""
        descriptor = sock.fileno()
        duplicate = socket.socket(fileno=os.dup(descriptor))
        with self._changed:
            # A connection can return to the pool and serve the next download before the previous one leaves its `with`
            # block.
            for other, connection in [*self._watched.items()]:
                if other is deadline or connection.descriptor == descriptor:
                    self._release(other)
            self._watched[deadline] = _Connection(descriptor, duplicate)
            self._start_thread()
            if deadline.at < self._wakes_at:
                self._changed.notify()

    def close(self) -> None:
        """End the thread once the running downloads have ended. No download may start after this."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _release(self, deadline: Deadline) -> None:
        if connection := self._watched.pop(deadline, None):
            connection.duplicate.close()

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="download-watchdog", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with self._changed:
            while self._watched or not self._is_closed:
                now = time.monotonic()
                for deadline, connection in self._watched.items():
                    if deadline.at <= now:
                        with suppress(OSError):  # the server may have closed the connection
                            connection.duplicate.shutdown(socket.SHUT_RDWR)
                pending = [deadline.at for deadline in self._watched if deadline.at > now]
                self._wakes_at = min(pending, default=now + _IDLE_S)
                self._changed.wait(self._wakes_at - now)
