"""Enqueues recorded jobs at a steady rate, from its own thread, while servers fail."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from producer.contract.errors import BrokerUnavailable, StoreUnavailable

if TYPE_CHECKING:
    from tests.chaos.ledger import Ledger

_CHUNK = 20


class Stream:
    """Enqueues into a ledger until the block ends, and repeats each chunk that fails until it succeeds.

    Args:
        ledger: The ledger that enqueues.
        rate: Jobs per second.

    Attributes:
        refused: How often a chunk failed.
    """

    def __init__(self, ledger: Ledger, rate: float) -> None:
        self.refused = 0
        self._ledger = ledger
        self._pause_s = _CHUNK / rate
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._pause_s):
            ids = self._ledger.next_ids(_CHUNK)
            while not self._enqueue(ids):
                # Also after the stop: the ledger expects a result for these ids.
                self.refused += 1
                self._stopped.wait(0.5)

    def _enqueue(self, ids: list[str]) -> bool:
        try:
            self._ledger.enqueue_again(ids, record=True)
        except (BrokerUnavailable, StoreUnavailable):
            return False
        return True
