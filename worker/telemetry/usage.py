"""Processor time and memory of this process and of its decoding processes."""

from __future__ import annotations

import os
import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# proc_pid_stat(5): the fields after the name of the program, which may hold spaces and parentheses.
_USER_TICKS, _SYSTEM_TICKS = 11, 12
_KIB = 1024


class ChildrenCpu:
    """The seconds of processors that child processes have used since this object was made.

    On macOS only those of processes that have ended: it has no /proc. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before = _ended_children_s()
        self._highest = 0.0

    def seconds(self, running: Iterable[int]) -> float:
        """Return the seconds of children that have ended and of those that run, by their process ids. Never falls."""
        # First those that have ended: a process that ends meanwhile is then missing once, instead of counted twice.
        with self._lock:
            ended = _ended_children_s() - self._before
            self._highest = max(self._highest, ended + sum(map(_running_s, running)))
            return self._highest


def rss_bytes(children: Iterable[int]) -> int:
    """Return the resident memory of this process and of its children in bytes. On macOS, the most this process had."""
    if not (_PROC / "self/statm").exists():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * _KIB
    return sum(_resident_bytes(pid) for pid in (os.getpid(), *children))


def _ended_children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _running_s(pid: int) -> float:
    with suppress(OSError):  # it has ended meanwhile, or this is not Linux
        fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / _TICKS_PER_S
    return 0.0


def _resident_bytes(pid: int) -> int:
    with suppress(OSError):
        return int((_PROC / f"{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    return 0
