"""How far the clocks of this machine, Redis, MongoDB and the workers disagree."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.contract.text import printable
from producer.operations.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MOST_APART_S = 5.0
_SHOWN = 10


@dataclass(frozen=True)
class Clock:
    """One machine's clock.

    Attributes:
        name: Whose it is.
        ahead_s: Seconds that it is ahead of this machine's; negative if it is behind.
    """

    name: str
    ahead_s: float


def read_clock(name: str, read: Callable[[], float]) -> Clock:
    """Compare a clock, which `read` returns in seconds since the epoch, with this machine's."""
    before = time.time()
    theirs = read()
    return Clock(name, theirs - (before + time.time()) / 2)


def clock_finding(clocks: Sequence[Clock]) -> Finding:
    """Return whether the clocks, this machine's among them, agree to a few seconds."""
    if not clocks:
        return Finding.well("clocks", "no other clock than this machine's could be read")
    by_distance = sorted(clocks, key=lambda clock: -abs(clock.ahead_s))[:_SHOWN]
    shown = "against this machine: " + ", ".join(
        f"{printable(one.name)} {_signed(one.ahead_s)} s" for one in by_distance
    )
    ahead = [0.0, *(clock.ahead_s for clock in clocks)]
    if max(ahead) - min(ahead) <= _MOST_APART_S:
        return Finding.well("clocks", shown)
    return Finding.look(
        "clocks",
        shown,
        "Of two enqueues of an image the one with the later time wins, and a worker whose clock is ahead takes others' "
        "jobs too early:",
        "set these machines' clocks by NTP (chrony, systemd-timesyncd).",
    )


def _signed(seconds: float) -> str:
    shown = f"{seconds:+.1f}"
    return "0.0" if shown in {"+0.0", "-0.0"} else shown
