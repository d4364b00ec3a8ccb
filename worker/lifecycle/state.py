"""The state of one worker process: whether it drains, whether MongoDB is unavailable, and what it holds unacked.

Created once, and passed to every part that needs it: the consumer, the tasks, the store and the watchdog.
"""

from __future__ import annotations

from worker.broker.deliveries import ConsumerState
from worker.broker.isolation import Isolation
from worker.lifecycle.condition import Condition
from worker.lifecycle.drain import Drain
from worker.lifecycle.loop import EventLoop
from worker.store.outage import Outage
from worker.telemetry.contact import Contact


class ProcessState:
    """The state that the parts of one process share. Thread-safe.

    Args:
        drain_s: How long the process may run after SIGTERM.
        serves_images: Whether the process consumes the queue at all.
    """

    def __init__(self, drain_s: float, *, serves_images: bool = True) -> None:
        self._serves_images = serves_images
        self.drain = Drain(drain_s)
        self.outage = Outage()
        self.isolation = Isolation()
        self.loop = EventLoop()
        self.redis, self.mongo = Contact(), Contact()
        self.condition = Condition(self.drain, self.outage, self.redis, self.mongo, needs_mongo=serves_images)
        self.consumption = ConsumerState(is_paused=self.is_paused, redis=self.redis)

    def is_paused(self) -> bool:
        """Return whether consumption is paused.

        MongoDB is unavailable, the process drains, a job must run alone, or the process only answers queries.
        """
        return not self._serves_images or self.outage.is_active or self.drain.is_draining or self.isolation.is_wanted
