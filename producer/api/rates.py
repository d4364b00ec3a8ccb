"""Limits how many requests each key makes."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BURST_S = 2.0


@dataclass
class _Bucket:
    """The requests that a key may make at once, as of a time."""

    left: float
    at: float


class RateLimit:
    """A token bucket for each key. It holds the requests of two seconds.

    Args:
        per_s: Requests a second on average.
        clock: Seconds; `time.monotonic` by default.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * _BURST_S)
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, key: str) -> int:
        """Count a request. Return 0 if it may be made now, else after how many whole seconds."""
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(self._most, now))
        bucket.left = min(self._most, bucket.left + (now - bucket.at) * self._per_s)
        bucket.at = now
        if bucket.left < 1:
            return math.ceil((1 - bucket.left) / self._per_s)
        bucket.left -= 1
        return 0
