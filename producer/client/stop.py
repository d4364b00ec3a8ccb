"""Ends a loop after its current step, or at once while it waits."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopped(BaseException):
    """The process was asked to stop while it waited. No `except Exception` of a library may catch it."""


class Stop:
    """Whether a loop must end.

    Attributes:
        is_requested: The loop must end.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._waits = False

    def request(self) -> None:
        """Let the loop end after its current step or wait. May be called by any thread."""
        self.is_requested = True

    def on_signal(self, *_: object) -> None:
        """Let the loop end; a signal handler of the thread that runs the loop. Raises Stopped if it waits."""
        self.is_requested = True
        if self._waits:
            raise Stopped

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let a signal end the block. Raises Stopped."""
        self._waits = True
        try:
            if self.is_requested:
                raise Stopped
            yield
        finally:
            self._waits = False

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Stopped."""
        with self.waiting():
            time.sleep(seconds)
