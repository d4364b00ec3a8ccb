"""Whether a loop still moves: before each step it says for how long the step may take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from producer.contract.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable


class Movement:
    """What a loop says of itself. One thread writes it, others read it.

    Args:
        what: The loop, for messages.
        problem: Why its last step failed; before the first one ends, why it is not known.
        clock: Seconds.
    """

    def __init__(self, what: str, problem: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._problem = problem
        self._clock = clock
        self._expected = (clock(), float("inf"))

    def expect(self, within_s: float) -> None:
        """The loop moves, and will do so again within this time."""
        # Both at once, so that no reader measures the last step by the limit of this one.
        self._expected = (self._clock(), within_s)

    def succeeded(self) -> None:
        """A step has done its work."""
        self._problem = ""

    def failed(self, problem: str) -> None:
        """A step has failed. The problem contains no secret."""
        self._problem = problem

    def live(self) -> str:
        """Return why the process has to be restarted; an empty text if the loop moves."""
        moved_at, within_s = self._expected
        still_s = self._clock() - moved_at
        if still_s <= within_s:
            return ""
        return f"{self._what} has not moved for {still_s:.0f} s, and had to within {within_s:.0f} s"

    def ready(self) -> str:
        """Return why the loop cannot do its work now; an empty text if it can."""
        return self.live() or printable(self._problem, 300)
