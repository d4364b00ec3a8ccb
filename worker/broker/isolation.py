"""Lets the jobs of a process run side by side, or one alone."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.errors import IsolationBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHECK_INTERVAL_S = 0.5
_MAX_CHECKS = 240


class Isolation:
    """A lock that many jobs share, or one job has alone. Thread-safe.

    A job that wants to be alone goes first: no other job starts meanwhile. `check` is called now and then while a job
    waits; what it raises ends the wait.

    Attributes:
        waiting: The ids of the threads whose jobs wait for their turn.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._exclusive = 0
        self.waiting: set[int] = set()

    @property
    def is_wanted(self) -> bool:
        """Whether a job runs alone, or waits for it."""
        return self._exclusive > 0

    @contextmanager
    def beside_others(self, check: Callable[[], None]) -> Iterator[None]:
        """Run a job beside others, as soon as no job wants to be alone."""
        with self._changed:
            self._wait(lambda: not self._exclusive, check)
            self._running += 1
        try:
            yield
        finally:
            self._leave(0)

    @contextmanager
    def alone(self, check: Callable[[], None]) -> Iterator[None]:
        """Run a job as soon as no other job runs. Raises IsolationBusy if that takes more than two minutes."""
        with self._changed:
            self._exclusive += 1
            try:
                self._wait(lambda: not self._running, check, _MAX_CHECKS)
            except BaseException:
                self._exclusive -= 1
                self._changed.notify_all()
                raise
            self._running += 1
        try:
            yield
        finally:
            self._leave(1)

    def _wait(self, may_start: Callable[[], bool], check: Callable[[], None], max_checks: float = math.inf) -> None:
        checks = 0
        self.waiting.add(threading.get_ident())
        try:
            while not may_start():
                check()
                checks += 1
                if checks > max_checks:
                    raise IsolationBusy("other jobs are still running")
                self._changed.wait(_CHECK_INTERVAL_S)
        finally:
            self.waiting.discard(threading.get_ident())

    def _leave(self, exclusive: int) -> None:
        with self._changed:
            self._running -= 1
            self._exclusive -= exclusive
            self._changed.notify_all()
