"""Workers killed with -9 while they have jobs: the jobs are given to another, or to the same one started again."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.cluster import REAL, Cluster
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos

SEED = 20
KILLS = 5


def test_five_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """With the real model, in the middle of its batches."""
    draw = random.Random(SEED)  # noqa: S311  (no secret)
    with Cluster(tmp_path, app=REAL) as cluster:
        cluster.start_workers("a", "b")
        cluster.start_sweep()
        cluster.control_images(least_ms=100, most_ms=400)
        ledger = Ledger(cluster, "killed")
        for _ in range(KILLS):
            ledger.enqueue(120, record=True)
            wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
            time.sleep(draw.uniform(0.0, 0.5))
            victim = draw.choice(cluster.workers)
            victim.await_ready()
            victim.kill()
            victim.start(wait=False)
        # One that was in two of those workers counts as what they died of.
        wait_for_report(ledger).assert_complete("worker_lost")


def test_null_jobs_outlive_a_worker_killed_every_few_seconds(cluster: Cluster, ledger: Ledger) -> None:
    """As many as two workers do in some seconds; `python -m tests.chaos --jobs 50000` takes the full number."""
    cluster.control_images(least_ms=0, most_ms=0)
    ledger.enqueue(3000, record=True)
    victims = iter(cluster.workers * 3)
    while cluster.queued()["images"] and (victim := next(victims, None)):
        time.sleep(3)
        victim.restart()
    wait_for_report(ledger, 120).assert_complete("worker_lost")
