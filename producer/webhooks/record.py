"""What `clipqueue notify` has done, for metrics and health."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from producer.telemetry.movement import Movement

if TYPE_CHECKING:
    from collections.abc import Callable

# Longer than the longest step: an attempt, or a wait, with commands on Redis before and after it.
_STEP_S = 120.0


class NotifyRecord:
    """Counts the webhooks.

    Args:
        clock: Seconds, for the health.

    Attributes:
        movement: Whether the loop moves, and whether Redis and the receiver answered last.
        ended: The number of attempts by outcome: `delivered`; `retried`, which are sent again later; and `dropped`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.movement = Movement("the loop of webhooks", "Redis has not answered yet", clock)
        self.ended = {"delivered": 0, "retried": 0, "dropped": 0}

    def step(self) -> None:
        """The loop begins its next step."""
        self.movement.expect(_STEP_S)

    def idle(self) -> None:
        """Redis answers, and no event waits for this process."""
        self.movement.succeeded()

    def delivered(self) -> None:
        """The receiver has an event."""
        self.ended["delivered"] += 1
        self.movement.succeeded()

    def retried(self, problem: str) -> None:
        """The receiver did not take an event, which is sent again later."""
        self.ended["retried"] += 1
        self.movement.failed(problem)

    def dropped(self) -> None:
        """An event is not sent any more."""
        self.ended["dropped"] += 1
        self.movement.succeeded()
