"""What the sweeps of this process have done, for metrics and health."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from producer.telemetry.movement import Movement

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.contract.errors import ClipqueueError
    from producer.operations.requeue.sweep import SweepResult

# MongoDB ends the request for a page after two minutes; the rest are commands with a timeout of seconds.
_STEP_S = 300.0
_PAUSE_MARGIN_S = 30.0


class SweepRecord:
    """Counts the sweeps, and knows when the next step is due.

    Args:
        clock: Seconds, for the health.

    Attributes:
        movement: Whether the loop moves, and whether the last sweep succeeded.
        ended: The number of sweeps by outcome: `done`, `failed`, or `locked` because another sweep was running.
        requeued: The number of jobs that were enqueued.
        last_success_s: When the last sweep succeeded, in seconds since the epoch; 0 if none has.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.movement = Movement("the sweep", "the first sweep has not ended yet", clock)
        self.ended = {"done": 0, "failed": 0, "locked": 0}
        self.requeued = 0
        self.last_success_s = 0.0

    def step(self) -> None:
        """A sweep begins, or reads its next page."""
        self.movement.expect(_STEP_S)

    def pause(self, seconds: float) -> None:
        """The loop waits for the next sweep."""
        self.movement.expect(seconds + _PAUSE_MARGIN_S)

    def succeeded(self, result: SweepResult | None) -> None:
        """A sweep has ended; None if another one was running."""
        self.movement.succeeded()
        self.ended["locked" if result is None else "done"] += 1
        if result:
            self.requeued += result.queued
            self.last_success_s = time.time()

    def failed(self, exc: ClipqueueError) -> None:
        """A sweep has failed."""
        self.movement.failed(f"the last sweep failed: {exc}")
        self.ended["failed"] += 1
