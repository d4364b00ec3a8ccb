"""The deadline of one download: a watchdog that shuts its socket down, whatever phase it is in."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_running = threading.local()


class Deadline:
    """Ends a download at a fixed time by shutting its socket down, from a thread of its own.

    requests' timeouts count from the last byte, so a server that sends one byte a second outlives any of them
    (psf/requests#3099). Use as a context manager around everything one download does.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._twin: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    @property
    def remaining_s(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self._ends - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        """Take `sock` as the one to shut down. Holds a duplicate, which survives `sock` being wrapped in TLS."""
        twin = socket.fromfd(sock.fileno(), sock.family, sock.type)
        with self._lock:
            self._release()
            self._twin = twin
            if self.expired:
                self._cut()

    def __enter__(self) -> Self:
        _running.deadline = self
        self._timer.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._timer.cancel()
        _running.deadline = None
        with self._lock:  # from here on the socket may serve another download
            self._release()

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            self._cut()

    def _cut(self) -> None:
        if self._twin is not None:
            with suppress(OSError):  # the other side may have closed it already
                self._twin.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._twin is not None:
            self._twin.close()
            self._twin = None


def running_deadline() -> Deadline:
    """Return the deadline of the download that this thread is doing."""
    deadline: Deadline = _running.deadline
    return deadline
