"""Counts how often MongoDB does not read or write a document, and may do it later.

If it writes other documents meanwhile, it is not unavailable: one document must not pause the worker, and its job
must not be requeued for ever. The counts are in memory, since a worker that restarts may start again from zero.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from worker.errors import StoreRefused

if TYPE_CHECKING:
    from producer.contract.ids import ImageId
    from worker.errors import DocumentDelayed

# With the pauses between them, these take about eight minutes: longer than an election or the move of a shard.
MAX_DELAYS = 20
_MAX_PAUSE_S = 30.0
_MAX_DOCUMENTS = 10_000


class DelayedDocuments:
    """The documents that MongoDB did not write although it wrote others. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written = 0
        self._written_at_last_delay = 0
        # For each document: how often it was delayed, and the number of writes at that time.
        self._delays: dict[ImageId, tuple[int, int]] = {}

    def reset(self, image_id: ImageId) -> None:
        """A document was written."""
        with self._lock:
            self._written += 1
            self._delays.pop(image_id, None)

    def forget(self, image_id: ImageId) -> None:
        """The job of a document has ended without a write."""
        with self._lock:
            self._delays.pop(image_id, None)

    def add(self, image_id: ImageId, error: DocumentDelayed) -> float | None:
        """Count a write that was delayed. Return the seconds until the next attempt; None if MongoDB is unavailable.

        It counts as unavailable if it has written nothing since the last delayed write. Such delays are not counted.

        Raises:
            StoreRefused: The write was delayed MAX_DELAYS times, and other documents were written in between.
        """
        with self._lock:
            count, written = self._delays.pop(image_id, (0, 0))
            are_others_written = error.others_written or self._written > self._written_at_last_delay
            if error.others_written or self._written > written:
                count += 1
            self._written_at_last_delay = self._written
            self._delays[image_id] = (count, self._written)
            if len(self._delays) > _MAX_DOCUMENTS:
                del self._delays[next(iter(self._delays))]  # the one that was delayed least recently
        if count >= MAX_DELAYS:
            raise StoreRefused(f"{error}; {count} attempts failed while it wrote other documents")
        return min(2.0 ** (count - 1), _MAX_PAUSE_S) if are_others_written else None
