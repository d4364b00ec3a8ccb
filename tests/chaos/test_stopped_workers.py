"""Workers told to stop (SIGTERM) while they have jobs: they exit with 0, and hand back what they cannot finish."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.account import ENDED, settle
from tests.chaos.arena import VISIBILITY_S
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.arena import Arena
    from tests.chaos.ledger import Ledger

pytestmark = pytest.mark.chaos


def test_a_worker_that_is_told_to_stop_leaves_its_jobs_to_another(arena: Arena, ledger: Ledger) -> None:
    one, _ = arena.workers
    ledger.enqueue(500)
    wait_for(lambda: arena.queued()["unacked"], "jobs to be in flight")
    assert one.stop() == 0
    account = settle(ledger)
    one.start()
    account.must_balance()
    assert account.doubles == 0


def test_the_last_workers_that_are_told_to_stop_leave_their_jobs_on_the_queue(arena: Arena, ledger: Ledger) -> None:
    """Nothing waits for the visibility timeout."""
    arena.control_images(least_ms=200, most_ms=600)
    ledger.enqueue(500)
    wait_for(lambda: arena.collection.count_documents(ENDED), "the first results")
    for worker in arena.workers:
        worker.send(signal.SIGTERM)
    assert [worker.wait(2 * VISIBILITY_S) for worker in arena.workers] == [0, 0]
    left = arena.queued()
    assert (left["unacked"], left["unacked_index"]) == (0, 0)
    assert left["images"]
    for worker in arena.workers:
        worker.start()
    account = settle(ledger)
    account.must_balance()
    assert account.doubles == 0


def test_a_worker_that_is_told_twice_gives_its_jobs_back_at_once(arena: Arena, ledger: Ledger) -> None:
    one, _ = arena.workers
    arena.control_images(least_ms=1500, most_ms=1500)
    ledger.enqueue(300)
    wait_for(lambda: arena.queued()["unacked"] >= 60, "jobs to be in flight in both")
    one.send(signal.SIGTERM)
    wait_for(lambda: "Warm shutdown" in one.log.read_text(), "the worker to have heard it")
    assert one.stop() == 0
    arena.control_images(least_ms=0, most_ms=0)
    given_back = re.search(r"second stop signal: requeued (\d+) unfinished jobs", one.log.read_text())
    assert given_back
    assert int(given_back[1])
    settle(ledger).must_balance()
