"""When the retries of this process are due, so that it moves them to the queue then. It asks nobody meanwhile.

Those of a process that has ended are moved by the others: each time that they take messages, and every few seconds.
"""

from __future__ import annotations

import heapq
import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Retries that are due within this time are moved together. It also limits the memory: one number for each step.
_STEP_S = 0.1


class DueTimes:
    """The times at which at least one retry of this process is due. Thread-safe.

    Args:
        clock: Seconds of a clock that never jumps. Redis' own clock decides what is due; this one says when to look.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._steps: list[int] = []  # a heap
        self._known: set[int] = set()

    def add(self, wait_s: float) -> None:
        """Add a retry that is due in so many seconds."""
        step = math.ceil((self._clock() + wait_s) / _STEP_S)
        with self._lock:
            if step not in self._known:
                self._known.add(step)
                heapq.heappush(self._steps, step)

    def take(self) -> bool:
        """Return whether a retry has become due since the last call."""
        is_due, now = False, self._clock() / _STEP_S
        with self._lock:
            while self._steps and self._steps[0] <= now:
                self._known.discard(heapq.heappop(self._steps))
                is_due = True
        return is_due
