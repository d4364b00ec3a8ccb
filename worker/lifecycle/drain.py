"""How a worker that was told to stop gives its jobs up: what is nearly done is finished, the rest goes back in time."""

from __future__ import annotations

import threading
import time

from worker.errors import WorkerStopping


class Drain:
    """The time that is left to the jobs of this process, without end until `begin` is called. Safe to share.

    Args:
        seconds: What a worker may take from SIGTERM to its end.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun = threading.Event()
        self._ends = float("inf")

    @property
    def has_begun(self) -> bool:
        """Whether the worker was told to stop."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Let the time run. Called in a signal handler."""
        self._ends = time.monotonic() + self._seconds
        self._begun.set()

    def start_job(self) -> None:
        """Raise WorkerStopping if no job may be started any more."""
        if self.has_begun:
            raise WorkerStopping("the worker is stopping")

    def start_stage(self, seconds: float) -> None:
        """Raise WorkerStopping if a stage that may take so long might not end in time."""
        if time.monotonic() + seconds > self._ends:
            raise WorkerStopping(f"the worker is stopping, and has no {seconds:g} s left for it")

    def pause(self, seconds: float) -> None:
        """Wait, but not when the worker is stopping."""
        self._begun.wait(seconds)
