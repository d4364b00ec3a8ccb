"""Limits the downloads that run at once from one host, so that a slow host cannot take all threads."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.errors import HostBusy

if TYPE_CHECKING:
    from collections.abc import Iterator


class HostLimits:
    """Counts the running downloads by host and port. Safe to share between threads.

    Args:
        per_host: Maximum number of downloads at once from one host.
        wait_s: Seconds that a download waits for a free slot before its job is requeued.
    """

    def __init__(self, per_host: int, wait_s: float) -> None:
        self._per_host = per_host
        self._wait_s = wait_s
        self._running: Counter[tuple[str, int]] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, host: str, port: int) -> Iterator[None]:
        """Hold one of the host's slots.

        Raises:
            HostBusy: No slot became free in time.
        """
        key = host, port
        with self._changed:
            if not self._changed.wait_for(lambda: self._running[key] < self._per_host, self._wait_s):
                raise HostBusy(
                    f"{self._per_host} downloads from {host}:{port} are already running (CLIPQUEUE_FETCH_PER_HOST)"
                )
            self._running[key] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[key] -= 1
                if not self._running[key]:  # otherwise the counter would keep every host ever seen
                    del self._running[key]
                self._changed.notify_all()
