"""Counts the turns of Celery's event loop, so that the watchdog notices a loop that hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.worker.consumer.events import Events

from producer.contract.names import IMAGE_QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVAL_S = 1.0


class EventLoop:
    """What is known about the event loop of this process.

    Attributes:
        ticks: Rises every second while the loop runs.
        is_running: Whether it should run: not while the consumer connects to Redis, and not during a drain.
        consumes_images: Whether it should ask for jobs. An operator may tell it not to: `celery control
            cancel_consumer images`.
    """

    def __init__(self) -> None:
        self.ticks = 0
        self.is_running = False
        self.consumes_images: Callable[[], bool] = lambda: False

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
        queues = parent.app.amqp.queues
        loop.consumes_images = lambda: IMAGE_QUEUE in queues.consume_from
        loop.is_running = True

    def stop(self, parent: Any) -> None:
        """Stop the timer until the next connection."""
        parent.app.state.loop.is_running = False
        if self._timer:
            self._timer.cancel()
