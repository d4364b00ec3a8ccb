"""What the search page shows of the service: its images, its queue, its workers, and the fields it can filter by."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from producer.client.queries import read_query_models
from producer.client.queue import count_jobs
from producer.contract.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.client.broker import Broker
    from producer.documents.documents import ImageDocuments

# Counting reads the whole collection, so the next count waits for this many times as long as the last one took.
_PAUSE_FACTOR = 20
_MIN_PAUSE_S = 1.0


class Overview:
    """Reads the state of the service. Safe to share between threads.

    Args:
        broker: The connection to Redis.
        documents: The collection of the images.
        filter_fields: The fields that a search may filter by.
    """

    def __init__(self, broker: Broker, documents: ImageDocuments, filter_fields: Sequence[str]) -> None:
        self._broker = broker
        self._documents = documents
        self._filter_fields = list(filter_fields)
        self._counting = threading.Lock()
        self._count_after = 0.0
        self._images: dict[str, int] | None = None

    def read(self) -> dict[str, Any]:
        """Return the state as JSON values. `images` is None until they could be counted once.

        Raises:
            BrokerUnavailable: Redis could not be reached.
        """
        with self._broker.commands("did not return the state of the queue") as redis:
            jobs = count_jobs(redis)
            models = read_query_models(redis)
        return {
            "models": [model.model for model in models],
            "workers": sum(model.workers for model in models),
            "queued": jobs.waiting,
            "delayed": jobs.delayed,
            "images": self._count_images(),
            "filter_fields": self._filter_fields,
        }

    def _count_images(self) -> dict[str, int] | None:
        """Count the images, or return the last count if that was a moment ago or another thread is counting."""
        if time.monotonic() >= self._count_after and self._counting.acquire(blocking=False):
            started = time.monotonic()
            try:
                statuses = self._documents.statuses()
                self._images = {status: statuses.get(status, 0) for status in ("done", "failed", "pending")}
            except StoreUnavailable:
                pass  # the search itself says so
            finally:
                took_s = time.monotonic() - started
                self._count_after = time.monotonic() + max(_MIN_PAUSE_S, _PAUSE_FACTOR * took_s)
                self._counting.release()
        return self._images
