"""The times of the jobs that one process enqueues. They order the jobs of one image."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

# A clock that is set back by more was wrong before, so its earlier times are forgotten.
_MAX_STEP_BACK_MS = 10_000


class EnqueueClock:
    """Gives each job its time. Thread-safe.

    Of two jobs for one image, the later one always has the later time: within one millisecond, and if the system's
    clock is set back by up to 10 s. Jobs for two images may have the same time. If all times differed, a process that
    enqueues more than 1,000 jobs a second would run ahead of its clock.

    Args:
        now_ms: Returns the system's time in milliseconds since the epoch.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._latest_ms = 0
        # The last time of each image, if it is not in the past.
        self._times: dict[Hashable, int] = {}

    def next_ms(self, image: Hashable) -> int:
        """Return the time of a job for this image that is enqueued now."""
        with self._lock:
            at_ms = max(self._advance(), self._times.get(image, -1) + 1)
            self._times[image] = at_ms
            return at_ms

    def _advance(self) -> int:
        now_ms = self._now_ms()
        if now_ms < self._latest_ms - _MAX_STEP_BACK_MS:
            self._times, self._latest_ms = {}, now_ms
        elif now_ms > self._latest_ms:
            self._times = {image: at_ms for image, at_ms in self._times.items() if at_ms >= now_ms}
            self._latest_ms = now_ms
        return self._latest_ms
