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
_lock = threading.Lock()
# Whose socket a file descriptor is: that of the download that used it last.
_watching: dict[int, Deadline] = {}


class Deadline:
    """Ends a download at a fixed time by shutting its socket down, from a thread of its own.

    requests' timeouts count from the last byte, so a server that sends one byte a second outlives any of them
    (psf/requests#3099). Use as a context manager around everything one download does.
    """

    def __init__(self, seconds: float) -> None:
        self._has_cut = False
        self._ends = time.monotonic() + seconds
        self._twin: socket.socket | None = None
        self._number = -1
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self._has_cut or not self.remaining_s

    @property
    def remaining_s(self) -> float:
        """Seconds that are left, never below zero."""
        return max(0.0, self._ends - time.monotonic())

    def watch(self, sock: socket.socket) -> None:
        """Take `sock` as the one to shut down. Holds a duplicate, which survives `sock` being wrapped in TLS."""
        twin = socket.fromfd(sock.fileno(), sock.family, sock.type)
        with _lock:
            self._release()
            self._twin, self._number = twin, sock.fileno()
            _watching[self._number] = self
            if self._has_cut:
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
        with _lock:
            self._release()

    def _expire(self) -> None:
        with _lock:
            self._has_cut = True
            self._cut()

    def _cut(self) -> None:
        # Read to its end, the connection may serve another download before this one leaves its block.
        if self._twin is not None and _watching.get(self._number) is self:
            with suppress(OSError):  # the other side may have closed it already
                self._twin.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        if self._twin is not None:
            self._twin.close()
            self._twin = None
            if _watching.get(self._number) is self:
                del _watching[self._number]


def running_deadline() -> Deadline:
    """Return the deadline of the download that this thread is doing."""
    deadline: Deadline = _running.deadline
    return deadline
