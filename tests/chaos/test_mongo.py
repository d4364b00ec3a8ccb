"""MongoDB away, killed in the middle of writes, and a worker killed between its write and its ack."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.account import ENDED, settle
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.arena import Arena
    from tests.chaos.ledger import Ledger

pytestmark = pytest.mark.chaos

AWAY_S = 8.0


def test_mongodb_being_away_fails_no_job(arena: Arena, ledger: Ledger) -> None:
    ledger.enqueue(150)
    wait_for(lambda: arena.queued()["unacked"], "jobs to be in flight")
    arena.mongo.kill()
    ledger.enqueue(200)
    time.sleep(AWAY_S)
    arena.mongo.start()
    settle(ledger).must_balance()


def test_mongodb_killed_in_the_middle_of_writes_loses_nothing(arena: Arena, ledger: Ledger) -> None:
    arena.control_images(least_ms=100, most_ms=400)
    for _ in range(3):
        before = arena.collection.count_documents(ENDED)
        ledger.enqueue(120)
        wait_for(lambda before=before: arena.collection.count_documents(ENDED) > before, "writes")  # type: ignore[misc]
        arena.mongo.restart()
    settle(ledger).must_balance()


def test_a_worker_killed_between_write_and_ack_changes_nothing(arena: Arena, ledger: Ledger) -> None:
    """Redis is frozen, so that results are written and none is acked; then the workers die."""
    arena.control_images(least_ms=500, most_ms=1000)
    before = arena.collection.count_documents(ENDED)
    ledger.enqueue(300)
    wait_for(lambda: arena.queued()["unacked"] >= 40, "jobs to be in flight")
    with arena.redis.frozen():
        wait_for(lambda: arena.collection.count_documents(ENDED) >= before + 40, "their results")
        for worker in arena.workers:
            worker.kill()
    # They come back one by one, being suspected of having killed their workers.
    arena.control_images(least_ms=0, most_ms=0)
    for worker in arena.workers:
        worker.start()
    account = settle(ledger)
    account.must_balance()
    assert account.skipped, "what was written already is not done again"
    assert account.doubles == 0
