"""Counts the turns of Celery's event loop, so that the watchdog notices a loop that hangs."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker.consumer.events import Events

_INTERVAL_S = 1.0


class EventLoop:
    """What is known about the event loop of this process.

    Attributes:
        ticks: Rises every second while the loop runs.
        is_running: Whether it should run: not while the consumer connects to Redis, and not during a drain.
    """

    def __init__(self) -> None:
        self.ticks = 0
        self.is_running = False

    def tick(self) -> None:
        """Note that the loop runs."""
        self.ticks += 1


class LoopTicks(bootsteps.StartStopStep):
    """A bootstep with a timer in the event loop."""

    requires = (Events,)
    _timer: Any = None

    def start(self, parent: Any) -> None:
        """Start the timer. Celery calls this each time that the worker has connected to Redis."""
        loop = parent.app.state.loop
        self._timer = parent.hub.call_repeatedly(_INTERVAL_S, loop.tick)
        loop.is_running = True

    def stop(self, parent: Any) -> None:
        """Stop the timer until the next connection."""
        parent.app.state.loop.is_running = False
        if self._timer:
            self._timer.cancel()
