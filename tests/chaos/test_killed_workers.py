"""Workers killed with -9 while they have jobs: the jobs are given to another, or to the same one started again."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.account import settle
from tests.chaos.arena import REAL, Arena
from tests.chaos.ledger import Ledger
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos

SEED = 20
KILLS = 5


def test_five_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """With the real model, in the middle of its batches."""
    draw = random.Random(SEED)  # noqa: S311  (no secret)
    with Arena(tmp_path, app=REAL) as arena:
        arena.start_workers("a", "b")
        arena.start_sweep()
        arena.control_images(least_ms=100, most_ms=400)
        ledger = Ledger(arena, "killed")
        for _ in range(KILLS):
            ledger.enqueue(120, record=True)
            wait_for(lambda: arena.queued()["unacked"], "jobs to be in flight")
            time.sleep(draw.uniform(0.0, 0.5))
            victim = draw.choice(arena.workers)
            victim.await_ready()
            victim.kill()
            victim.start(wait=False)
        # One that was in two of those workers counts as what they died of.
        settle(ledger).must_balance("worker_lost")


def test_null_jobs_outlive_a_worker_killed_every_few_seconds(arena: Arena, ledger: Ledger) -> None:
    """As many as two workers do in some seconds; `python -m tests.chaos --jobs 50000` takes the full number."""
    arena.control_images(least_ms=0, most_ms=0)
    ledger.enqueue(3000, record=True)
    victims = iter(arena.workers * 3)
    while arena.queued()["images"] and (victim := next(victims, None)):
        time.sleep(3)
        victim.restart()
    settle(ledger, 120).must_balance("worker_lost")
