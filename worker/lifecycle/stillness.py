"""Counts how long the parts of a process stand still that should move.

It counts ticks, because the clock keeps running while a process is suspended (SIGSTOP, a frozen container, a laptop):
nothing of it has moved then, and all of it goes on.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """A part of the process that must move while it has something to do.

    Attributes:
        problem: What is wrong if it stands still; the log adds for how long.
        standing: Returns what should move now, such as a count of turns, or the numbers of the calls in progress. An
            entry that is still there at the next tick has not moved. Empty if there is nothing to do.
        red_s: After so many seconds, the process is unhealthy.
        end_s: After so many seconds, it ends.
        prod: Makes the part move if it can. Called in a thread of its own, from half of `red_s` on.
        advice: What to do if restarts do not help.
    """

    problem: str
    standing: Callable[[], Iterable[Hashable]]
    red_s: float
    end_s: float
    prod: Callable[[], object] | None = None
    advice: str = ""


@dataclass(frozen=True)
class Problem:
    """A part that stands still.

    Attributes:
        text: One line: which part, and for how long.
        is_final: Whether the process must end.
        advice: What to do if restarts do not help.
    """

    text: str
    is_final: bool
    advice: str = ""


class Stillness:
    """Counts the ticks that each part stands still. One thread calls it.

    Args:
        parts: The parts, the most telling first: of two that stand still, the first is named.
        tick_s: The seconds between two ticks.
    """

    def __init__(self, parts: Iterable[Part], tick_s: float) -> None:
        self._counts = [_Count(part, tick_s) for part in parts]

    def tick(self) -> Problem | None:
        """Count one tick. Return the problem: one that ends the process before all others, None if all is well."""
        problems = [problem for count in self._counts if (problem := count.tick())]
        return next((problem for problem in problems if problem.is_final), problems[0] if problems else None)


class _Count:
    """The ticks of one part."""

    def __init__(self, part: Part, tick_s: float) -> None:
        self._part = part
        self._tick_s = tick_s
        self._ticks: dict[Hashable, int] = {}
        self._prodding: threading.Thread | None = None

    def tick(self) -> Problem | None:
        part = self._part
        try:
            self._ticks = {entry: self._ticks.get(entry, -1) + 1 for entry in part.standing()}
        except Exception:  # the other parts must be watched all the same
            logger.exception("unexpected error in the watchdog; it continues")
            return None
        if not self._ticks:
            return None
        still_s = max(self._ticks.values()) * self._tick_s
        if part.prod and still_s >= part.red_s / 2:
            self._start_prod(part.prod)
        if still_s < part.red_s:
            return None
        duration = f" for {still_s:.0f} s" if still_s else ""
        return Problem(part.problem + duration, still_s >= part.end_s, part.advice)

    def _start_prod(self, prod: Callable[[], object]) -> None:
        if self._prodding is None or not self._prodding.is_alive():
            self._prodding = threading.Thread(target=prod, name="prod", daemon=True)
            self._prodding.start()
