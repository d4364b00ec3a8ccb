"""Which lines about jobs may be written, so that no platform drops lines of its own choice.

Railway drops what exceeds 500 lines a second for each replica (its page observability/logs.md), errors among them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_JOBS_PER_S = 50.0
_FAILURES_PER_S = 60.0
# Each code of an error has its own besides, so that a flood of one hides no other.
_OF_ONE_CODE_PER_S = 1.0


class Rate:
    """Allows so many a second on average, and at most twice as many within one second."""

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._clock = clock
        self._left = per_s
        self._at = clock()

    def allows(self) -> bool:
        """Return whether one more is allowed, and count it."""
        now = self._clock()
        self._left = min(self._per_s, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class LineRate:
    """The rates of lines about jobs. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs = Rate(_JOBS_PER_S, clock)
        self._failures = Rate(_FAILURES_PER_S, clock)
        self._codes: dict[str, Rate] = {}

    def allows_job(self) -> bool:
        """Return whether a line about a job without an error may be written."""
        return self._jobs.allows()

    def allows_failure(self, code: str) -> bool:
        """Return whether a line about an error may be written. There must be few different codes."""
        if code not in self._codes:
            self._codes[code] = Rate(_OF_ONE_CODE_PER_S, self._clock)
        return self._codes[code].allows() or self._failures.allows()
