"""When the retries of this process are due, so that it moves them to the queue then. It asks nobody meanwhile.

Those of a process that has ended are moved by the others: each time that they take messages, and every few seconds.
"""

from __future__ import annotations

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
        self._steps: set[int] = set()
        self._next_s = math.inf

    def add(self, wait_s: float) -> None:
        """Add a retry that is due in so many seconds."""
        with self._lock:
            step = math.ceil((self._clock() + wait_s) / _STEP_S)
            self._steps.add(step)
            self._next_s = min(self._next_s, step * _STEP_S)

    def take(self) -> bool:
        """Return whether a retry has become due since the last call."""
        if (now_s := self._clock()) < self._next_s:
            return False
        with self._lock:
            self._steps = {step for step in self._steps if step * _STEP_S > now_s}
            self._next_s = min(self._steps, default=math.inf) * _STEP_S
        return True
