"""The random schedule of faults that `python -m tests.chaos` runs: drawn beforehand, and the same for the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

# How often each fault comes, beside the others; and for how long, in seconds at least and at most.
WEIGHTS = {
    "kill worker": (6, 0.0, 3.0),
    "stop worker": (4, 0.0, 3.0),
    "freeze worker": (2, 1.0, 20.0),
    "kill redis": (3, 0.0, 4.0),
    "freeze redis": (2, 1.0, 15.0),
    "fill redis' disk": (1, 2.0, 6.0),
    "flush redis": (1, 0.0, 0.0),
    "kill mongo": (3, 0.0, 20.0),
    "freeze mongo": (2, 1.0, 10.0),
    "fill mongo's disk": (1, 2.0, 6.0),
    "flap images": (3, 3.0, 15.0),
    "freeze images": (2, 1.0, 6.0),
}
_LEAST_PAUSE_S, _MOST_PAUSE_S = 1.0, 10.0
_MOST_PICKS = 1_000_000


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        pause_s: Seconds from the end of the one before to this one's beginning.
        name: Of WEIGHTS.
        lasts_s: Seconds until what was broken is mended.
        pick: A large number that picks the worker: its remainder.
    """

    pause_s: float
    name: str
    lasts_s: float
    pick: int

    def __str__(self) -> str:
        return f"{self.name} for {self.lasts_s:.1f} s" if self.lasts_s else self.name


def make_schedule(seed: int, minutes: float) -> list[Fault]:
    """Return faults, one after another, for about so long."""
    draw = random.Random(seed)  # noqa: S311  (no secret)
    faults: list[Fault] = []
    while sum(fault.pause_s + fault.lasts_s for fault in faults) < minutes * 60:
        faults.append(_draw_fault(draw))
    return faults


def _draw_fault(draw: random.Random) -> Fault:
    name = draw.choices(list(WEIGHTS), [weight for weight, _, _ in WEIGHTS.values()])[0]
    _, least_s, most_s = WEIGHTS[name]
    pause_s = draw.uniform(_LEAST_PAUSE_S, _MOST_PAUSE_S)
    return Fault(pause_s, name, draw.uniform(least_s, most_s), draw.randrange(_MOST_PICKS))
