"""When a server last answered this process, or a thread last moved."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Of two signs of life, 10 s apart, the second may come late.
FRESH_S = 15.0


class Contact:
    """The last sign of life of a server or a thread. Thread-safe.

    Args:
        fresh_s: For how many seconds a sign of life counts.
        clock: Returns seconds, as `time.monotonic` does.

    Attributes:
        fresh_s: The same.
    """

    def __init__(self, fresh_s: float = FRESH_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.fresh_s = fresh_s
        self._clock = clock
        self._at = float("-inf")

    @property
    def age_s(self) -> float:
        """The seconds since the last sign of life; infinite without one."""
        return self._clock() - self._at

    @property
    def is_fresh(self) -> bool:
        """Whether the last sign of life still counts."""
        return self.age_s <= self.fresh_s

    def note(self) -> None:
        """Note a sign of life."""
        self._at = self._clock()

    def describe(self) -> str:
        """Return how long ago it was, such as `has not answered for 16 s`."""
        return "has not answered yet" if self._at == float("-inf") else f"has not answered for {self.age_s:.0f} s"
