"""What a worker process says of itself: whether it lives, and whether it is ready to work.

Live is what a restart would help with, so no outage of Redis or MongoDB counts. Ready is whether the process works now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.health import SILENT_S
from worker.telemetry.contact import Contact

if TYPE_CHECKING:
    from worker.lifecycle.drain import Drain
    from worker.store.outage import Outage


class Condition:
    """The condition of a process, for `/livez` and `/readyz`. Thread-safe, and never waits.

    Args:
        drain: A process that drains is not ready.
        outage: Nor is one that waits for MongoDB.
        redis: When Redis last answered.
        mongo: When MongoDB last answered.
        needs_mongo: Whether the process works with MongoDB. One that answers queries alone hardly does.

    Attributes:
        problem: What the watchdog has found; empty if all is well.
        is_loaded: Whether the model is loaded, so that the watchdog watches.
    """

    def __init__(self, drain: Drain, outage: Outage, redis: Contact, mongo: Contact, *, needs_mongo: bool) -> None:
        self._drain = drain
        self._outage = outage
        self._redis = redis
        self._mongo = mongo
        self._needs_mongo = needs_mongo
        self._watchdog = Contact(SILENT_S)
        self.problem = ""
        self.is_loaded = False

    def note(self, problem: str) -> None:
        """Note what the watchdog has found. The first call shows that the model is loaded."""
        self.problem = problem
        self._watchdog.note()
        self.is_loaded = True

    def live(self) -> str:
        """Return why this process must be restarted; an empty text if it need not be. A model may take long to load."""
        if self.is_loaded and not self._watchdog.is_fresh:
            return f"the process hangs: its watchdog has shown no sign of life for {self._watchdog.age_s:.0f} s"
        return self.problem

    def ready(self) -> str:
        """Return why this process does not work now; an empty text if it does."""
        if not self.is_loaded:
            return "the model is loading"
        if self._drain.is_draining:
            return "the worker was told to stop"
        return self.live() or self._lacks()

    def _lacks(self) -> str:
        if not self._redis.is_fresh:
            return f"Redis {self._redis.describe()}"
        if self._needs_mongo and self._outage.is_active:
            return "MongoDB is unavailable; the worker waits for it"
        if self._needs_mongo and not self._mongo.is_fresh:
            return f"MongoDB {self._mongo.describe()}"
        return ""
