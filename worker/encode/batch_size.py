"""The largest batch that the device's memory allows at the moment."""

from __future__ import annotations

import logging
import threading

logger = logging.getLogger(__name__)

_FULL_BATCHES = 100
_MAX_FULL_BATCHES = 6_400


class BatchSize:
    """A maximum that halves when the memory does not suffice, and doubles again after many full batches. Thread-safe.

    The memory may be short for a while only, such as when another process shares the GPU. Each time that growing was
    too early, it takes twice as many full batches until the next attempt, up to a limit.

    Args:
        maximum: The size to start with, which is never exceeded.

    Attributes:
        current: The number of images that a batch may have now.
    """

    def __init__(self, maximum: int) -> None:
        self.current = self._maximum = maximum
        self._lock = threading.Lock()
        self._needed, self._full = _FULL_BATCHES, 0
        self._has_grown = False

    def shrink(self, failed: int) -> int:
        """Note that a batch of `failed` images did not fit, and return half of that."""
        half = failed // 2
        with self._lock:
            self._full = 0
            if self._has_grown:
                self._needed = min(2 * self._needed, _MAX_FULL_BATCHES)
            self._has_grown = False
            if 0 < half < self.current:
                logger.warning("out of memory with a batch of %d images: the maximum is now %d", failed, half)
                self.current = half
        return half

    def note_success(self, size: int) -> None:
        """Note that a batch of this size did fit."""
        if size < self.current or self.current == self._maximum:
            return
        with self._lock:
            self._full += 1
            if self._full < self._needed:
                return
            self._full, self._has_grown = 0, True
            self.current = min(2 * self.current, self._maximum)
            logger.info(
                "%d full batches have fitted into the memory: the maximum is now %d", self._needed, self.current
            )
