"""Ends the wait for results when no worker has been alive for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from producer.contract.errors import ClipqueueError
from producer.operations.workers import has_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.client.broker import Broker
    from producer.documents.documents import ImageDocuments

_PATIENCE_S = 60.0
_CHECK_S = 5.0


class NoWorker(ClipqueueError):
    """No worker has been alive for a while."""


class Patience:
    """Waits for a worker, but not for ever.

    Args:
        broker: The Redis of the queue.
        documents: The collection that the workers write to.
        note: Called with a sentence for the user each time that no worker is alive.
        clock: Seconds.
    """

    def __init__(
        self,
        broker: Broker,
        documents: ImageDocuments,
        note: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._documents = documents
        self._note = note
        self._clock = clock
        self._check_at = float("-inf")
        self._missing_since: float | None = None

    def check(self) -> None:
        """Look for a live worker, every few seconds.

        Raises:
            NoWorker: None has been alive for a minute.
            BrokerUnavailable: Redis could not be reached.
        """
        now = self._clock()
        if now < self._check_at:
            return
        self._check_at = now + _CHECK_S
        if has_worker(self._broker, self._documents):
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = now
            self._note(f"no worker is alive: waiting {_PATIENCE_S:.0f} s for one")
        elif now - self._missing_since >= _PATIENCE_S:
            raise NoWorker(
                f"no worker has been alive for {_PATIENCE_S:.0f} s. The jobs stay on the queue: start a worker, and "
                "give the same command to watch them again"
            )
