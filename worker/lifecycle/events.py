"""How often what Flower shows is sent: a few times a second, and not for each step of each task."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker.consumer.events import Events

_FLUSH_S = 0.2


class EventFlush(bootsteps.StartStopStep):
    """Sends the task events that have gathered. By itself Celery wakes its loop and Redis for every one of them."""

    requires = (Events,)
    _timer: Any = None

    def start(self, parent: Any) -> None:
        """Begin, each time that the worker has connected to Redis."""
        parent.event_dispatcher.on_send_buffered = None
        self._timer = parent.hub.call_repeatedly(_FLUSH_S, parent._flush_events)  # noqa: SLF001  (Celery has no other)

    def stop(self, _: Any) -> None:
        """Stop until it has connected again."""
        if self._timer:
            self._timer.cancel()
