"""Checks whether the clocks of this machine, Redis, MongoDB and the workers agree."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.contract.text import printable
from producer.operations.doctor.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MAX_SKEW_S = 5.0
_MAX_SHOWN = 10


@dataclass(frozen=True)
class Clock:
    """The clock of one machine.

    Attributes:
        name: The server or worker.
        ahead_s: Seconds that it is ahead of this machine's clock; negative if it is behind.
    """

    name: str
    ahead_s: float


def read_clock(name: str, read: Callable[[], float]) -> Clock:
    """Compare a clock, which `read` returns in seconds since the epoch, with this machine's."""
    before = time.time()
    theirs = read()
    return Clock(name, theirs - (before + time.time()) / 2)


def clock_finding(clocks: Sequence[Clock], unread: Sequence[str] = ()) -> Finding:
    """Check whether all clocks, including this machine's, are within 5 seconds of each other.

    Args:
        clocks: The clocks that could be read.
        unread: For each of the others, a sentence that says why it was not read.
    """
    if not clocks:
        return Finding.unknown("clocks", *unread, "no clock other than this machine's could be read")
    largest = sorted(clocks, key=lambda clock: -abs(clock.ahead_s))[:_MAX_SHOWN]
    shown = "relative to this machine: " + ", ".join(
        f"{printable(clock.name)} {_signed(clock.ahead_s)} s" for clock in largest
    )
    ahead = [0.0, *(clock.ahead_s for clock in clocks)]
    if max(ahead) - min(ahead) <= _MAX_SKEW_S:
        return Finding.unknown("clocks", shown, *unread) if unread else Finding.ok("clocks", shown)
    return Finding.problem(
        "clocks",
        shown,
        "If an image is enqueued twice, the job with the later time wins, and a worker whose clock is ahead redelivers "
        "other workers' jobs too early:",
        "synchronize these machines' clocks by NTP (chrony, systemd-timesyncd).",
    )


def _signed(seconds: float) -> str:
    shown = f"{seconds:+.1f}"
    return "0.0" if shown in {"+0.0", "-0.0"} else shown
