"""Limits how many lines a second a logger writes, so that no platform drops lines of its own choice.

Railway drops what exceeds 500 lines a second for each replica (its page observability/logs.md), errors among them.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Rate:
    """Allows so many a second on average, and `at_once` more after a pause; as many by default. Not thread-safe."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic, at_once: float | None = None) -> None:
        self._per_s = per_s
        self._clock = clock
        self._left = self._at_once = at_once or per_s
        self._at = clock()

    def allows(self) -> bool:
        """Return whether one more is allowed, and count it."""
        now = self._clock()
        self._left = min(self._at_once, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RoutineLines(logging.Filter):
    """Drops lines below WARNING above a rate. The next line that is written says how many were left out."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._rate = Rate(per_s, clock)
        self._lock = threading.Lock()
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written."""
        if record.levelno >= logging.WARNING:
            return True
        with self._lock:
            if not self._rate.allows():
                self._left_out += 1
                return False
            left_out, self._left_out = self._left_out, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (lines left out before this one: {left_out})", ()
            record.left_out = left_out
        return True
