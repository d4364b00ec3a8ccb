"""How many downloads run from one host at once: for its sake, and so that a slow one leaves threads to others."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.errors import HostBusy

if TYPE_CHECKING:
    from collections.abc import Iterator


class HostLimits:
    """Counts downloads by host; safe to share between threads.

    Args:
        per_host: Most downloads from one host at once.
        wait_s: Seconds that one more waits for another to end, before its job goes back to the queue.
    """

    def __init__(self, per_host: int, wait_s: float) -> None:
        self._per_host = per_host
        self._wait_s = wait_s
        self._running: dict[str, int] = {}
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, host: str) -> Iterator[None]:
        """Hold one of the host's slots.

        Raises:
            HostBusy: None became free in time.
        """
        self._take(host)
        try:
            yield
        finally:
            self._give_back(host)

    def _take(self, host: str) -> None:
        ends = time.monotonic() + self._wait_s
        with self._changed:
            while self._running.get(host, 0) >= self._per_host:
                if not self._changed.wait(ends - time.monotonic()):
                    raise HostBusy(f"{self._per_host} downloads from {host} run already (CLIPQUEUE_FETCH_PER_HOST)")
            self._running[host] = self._running.get(host, 0) + 1

    def _give_back(self, host: str) -> None:
        with self._changed:
            self._running[host] -= 1
            if not self._running[host]:  # or every host ever seen would be kept
                del self._running[host]
            self._changed.notify_all()
