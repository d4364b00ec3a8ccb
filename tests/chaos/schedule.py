"""The random schedule of faults for `python -m tests.chaos`. The same seed gives the same schedule."""

from __future__ import annotations

import random
from dataclasses import dataclass

# The weight of each fault in the draw, and its shortest and longest duration in seconds.
WEIGHTS = {
    "kill worker": (6, 0.0, 3.0),
    "stop worker": (4, 0.0, 3.0),
    "freeze worker": (2, 1.0, 20.0),
    "kill redis": (3, 0.0, 4.0),
    "freeze redis": (2, 1.0, 15.0),
    "fill redis' disk": (1, 2.0, 6.0),
    "fill redis' memory": (2, 2.0, 15.0),
    "fail over redis": (3, 0.0, 0.0),
    "flush redis": (1, 0.0, 0.0),
    "kill mongo": (3, 0.0, 20.0),
    "freeze mongo": (2, 1.0, 10.0),
    "fill mongo's disk": (1, 2.0, 6.0),
    "flap images": (3, 3.0, 15.0),
    "freeze images": (2, 1.0, 6.0),
}
_MIN_PAUSE_S, _MAX_PAUSE_S = 1.0, 10.0
_MAX_PICK = 1_000_000


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        pause_s: Seconds between the end of the fault before and the start of this one.
        name: A key of WEIGHTS.
        duration_s: Seconds until the fault ends.
        pick: A large number; its remainder selects the worker.
    """

    pause_s: float
    name: str
    duration_s: float
    pick: int

    def __str__(self) -> str:
        return f"{self.name} for {self.duration_s:.1f} s" if self.duration_s else self.name


def make_schedule(seed: int, minutes: float) -> list[Fault]:
    """Return faults that take about this many minutes, one after another."""
    rng = random.Random(seed)  # noqa: S311  (not a secret)
    faults: list[Fault] = []
    while sum(fault.pause_s + fault.duration_s for fault in faults) < minutes * 60:
        faults.append(_draw_fault(rng))
    return faults


def _draw_fault(rng: random.Random) -> Fault:
    name = rng.choices(list(WEIGHTS), [weight for weight, _, _ in WEIGHTS.values()])[0]
    _, min_s, max_s = WEIGHTS[name]
    pause_s = rng.uniform(_MIN_PAUSE_S, _MAX_PAUSE_S)
    return Fault(pause_s, name, rng.uniform(min_s, max_s), rng.randrange(_MAX_PICK))
