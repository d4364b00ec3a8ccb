"""Sends task events to Flower in batches, a few times a second, instead of one by one."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker.consumer.events import Events

# How often a worker tells Flower that it is alive. Celery's 2 s would be half of what an idle worker sends to Redis.
EVENT_HEARTBEAT_S = 5.0
_FLUSH_INTERVAL_S = 0.2
# By default, the thread of every eighth job sends the events of all.
_MAX_BUFFERED = 1000


class EventFlush(bootsteps.StartStopStep):
    """A bootstep that flushes buffered task events. By default, Celery writes to Redis for each one."""

    requires = (Events,)
    _timer: Any = None

    def start(self, parent: Any) -> None:
        """Start the timer. Celery calls this each time that the worker has connected to Redis."""
        parent.event_dispatcher.on_send_buffered = None
        parent.event_dispatcher.buffer_limit = _MAX_BUFFERED
        self._timer = parent.hub.call_repeatedly(_FLUSH_INTERVAL_S, parent.event_dispatcher.flush)

    def stop(self, _: Any) -> None:
        """Stop the timer until the next connection."""
        if self._timer:
            self._timer.cancel()

    def shutdown(self, parent: Any) -> None:
        """Send the events of the jobs that ended during the drain. Celery calls this when no job runs any more."""
        if parent.event_dispatcher:
            parent.event_dispatcher.flush()
