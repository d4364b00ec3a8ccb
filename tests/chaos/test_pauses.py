"""Processes that freeze and wake up (SIGSTOP, SIGCONT), as on a network that stalls: nothing closes or answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.account import settle
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.arena import Arena
    from tests.chaos.ledger import Ledger

pytestmark = pytest.mark.chaos


# Redis for longer than the workers wait for its answers (10 s).
@pytest.mark.parametrize(("name", "seconds"), [("redis", 12.0), ("mongo", 4.0), ("images", 4.0)])
def test_a_server_that_freezes_for_a_while_fails_no_job(
    arena: Arena, ledger: Ledger, name: str, seconds: float
) -> None:
    ledger.enqueue(350)
    wait_for(lambda: arena.queued()["unacked"], "jobs to be in flight")
    with getattr(arena, name).frozen():
        time.sleep(seconds)
    settle(ledger).must_balance()


def test_a_worker_that_sleeps_through_the_visibility_timeout_wakes_up_to_jobs_that_others_did(
    arena: Arena, ledger: Ledger
) -> None:
    sleeper, _ = arena.workers
    arena.control_images(least_ms=200, most_ms=600)
    ledger.enqueue(350)
    wait_for(lambda: arena.queued()["unacked"] > 40, "jobs to be in flight")
    with sleeper.frozen():
        arena.control_images(least_ms=0, most_ms=0)
        # Not before the visibility timeout: it holds some of them.
        wait_for(lambda: not any(arena.queued().values()), "the other worker to have done all")
    settle(ledger).must_balance()
    ledger.enqueue(100)
    settle(ledger).must_balance()
    assert all(worker.runs for worker in arena.workers)
