"""Keeps image batches short while queries arrive, so that a query's picture soon gets its turn."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_FOR_S = 30.0
_ROUNDING = 1e-9


class Slack:
    """The largest batch of images at the moment. Thread-safe.

    Args:
        cap: The largest batch while queries arrive, and for 30 s after the last one; None does not limit it.
        clock: Seconds.
    """

    def __init__(self, cap: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._cap = cap
        self._clock = clock
        self._last_query_at = float("-inf")

    @classmethod
    def of(cls, slack_s: float, per_image_s: float, clock: Callable[[], float] = time.monotonic) -> Slack:
        """Return one with which no batch takes longer than `slack_s`, or has only one image."""
        return cls(max(1, int(slack_s / per_image_s + _ROUNDING)), clock)

    def note_query(self) -> None:
        """A query has arrived."""
        self._last_query_at = self._clock()

    def limit(self, batch_size: int) -> int:
        """Return how many images a batch may have that could have `batch_size` without queries."""
        if self._cap is None or self._clock() - self._last_query_at > _FOR_S:
            return batch_size
        return min(batch_size, self._cap)
