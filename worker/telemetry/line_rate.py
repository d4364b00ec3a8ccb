"""Which lines about jobs may be written: all together stay below the 500 lines a second that Railway takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from producer.telemetry.log_rate import Rate

if TYPE_CHECKING:
    from collections.abc import Callable

_JOBS_PER_S = 50.0
# All images in flight may end within a moment, since batches end together and are saved together.
_JOBS_AT_ONCE = 128.0
_FAILURES_PER_S = 60.0
# Each code of an error has its own besides, so that a flood of one hides no other.
_OF_ONE_CODE_PER_S = 1.0


class LineRate:
    """The rates of lines about jobs. Not thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs = Rate(_JOBS_PER_S, clock, _JOBS_AT_ONCE)
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
