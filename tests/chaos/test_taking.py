"""The moment between the queue and a worker: a message that was being taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.account import settle
from tests.chaos.arena import VISIBILITY_S, Arena
from tests.chaos.ledger import Ledger
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos


def test_a_worker_killed_while_it_takes_a_message_loses_nothing(tmp_path: Path) -> None:
    """Frozen, it waits at Redis for the next one: Redis hands that out, and nobody is there. No sweep runs."""
    with Arena(tmp_path) as arena:
        arena.start_workers("a")
        ledger = Ledger(arena, "taken")
        (worker,) = arena.workers
        # Its question at Redis ends after a second, so this is repeated until it was open when the worker froze.
        for _ in range(20):
            with worker.frozen():
                ledger.enqueue(15)
                if arena.queued()["taken"]:
                    worker.kill()
                    break
        assert not worker.runs, "the moment was never met"
        assert arena.queued()["taken"] == 1
        worker.start()
        ledger.enqueue(300 - len(ledger.expected))
        wait_for(lambda: not arena.queued()["taken"], "the message to be given back", 2 * VISIBILITY_S)
        account = settle(ledger)
        account.must_balance()
        assert account.healed == 0
