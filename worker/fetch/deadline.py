"""The deadline of one download: a watchdog that shuts its socket down, whatever phase it is in.

One thread watches over all of them; to start one for each would cost more than many a download.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_LOOK_S = 0.05

_running = threading.local()
_lock = threading.Lock()
# Whose socket a file descriptor is: that of the download that used it last.
_watching: dict[int, Deadline] = {}
# The downloads that run, and what says that there are any.
_live: set[Deadline] = set()
_any_live = threading.Event()
_watchdog: threading.Thread | None = None


class Deadline:
    """Ends a download at a fixed time by shutting its socket down, from another thread.

    requests' timeouts count from the last byte, so a server that sends one byte a second outlives any of them
    (psf/requests#3099). Use as a context manager around everything one download does.
    """

    def __init__(self, seconds: float) -> None:
        self._has_cut = False
        self._ends = time.monotonic() + seconds
        self._twin: socket.socket | None = None
        self._number = -1

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
        with _lock:
            _live.add(self)
            _any_live.set()
            _start_watchdog()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        _running.deadline = None
        with _lock:
            _live.discard(self)
            self._release()

    def _cut(self) -> None:
        self._has_cut = True
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


def _start_watchdog() -> None:
    global _watchdog  # noqa: PLW0603  (one for the process, when it is first needed)
    if _watchdog is None:
        _watchdog = threading.Thread(target=_watch, name="deadlines", daemon=True)
        _watchdog.start()


def _watch() -> None:
    while _any_live.wait():
        time.sleep(_LOOK_S)
        with _lock:
            for deadline in _live:
                if deadline.expired:
                    deadline._cut()  # noqa: SLF001  (a part of the class)
            if not _live:
                _any_live.clear()


def current_deadline() -> Deadline:
    """Return the deadline of the download that this thread is doing."""
    deadline: Deadline = _running.deadline
    return deadline
