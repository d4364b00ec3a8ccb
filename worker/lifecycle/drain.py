"""The drain: after SIGTERM a worker finishes the jobs that can end in time and requeues the others."""

from __future__ import annotations

import threading
import time

from worker.errors import WorkerStopping


class Drain:
    """The time that is left to the jobs of this process: unlimited until `start` is called. Thread-safe.

    Args:
        seconds: How long the process may run after SIGTERM.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started = threading.Event()
        self._deadline = float("inf")

    @property
    def is_draining(self) -> bool:
        """Whether the worker was told to stop."""
        return self._started.is_set()

    def start(self) -> None:
        """Start the drain. Safe to call in a signal handler."""
        self._deadline = time.monotonic() + self._seconds
        self._started.set()

    def raise_if_draining(self) -> None:
        """Raise WorkerStopping if no new job may start."""
        if self.is_draining:
            raise WorkerStopping("the worker is draining")

    def raise_if_no_time_for(self, seconds: float) -> None:
        """Raise WorkerStopping if a stage that takes up to `seconds` could end after the drain's deadline."""
        if time.monotonic() + seconds > self._deadline:
            raise WorkerStopping(f"the worker is draining and has less than {seconds:g} s left")

    def sleep(self, seconds: float) -> None:
        """Sleep, but wake up when the drain starts."""
        self._started.wait(seconds)
