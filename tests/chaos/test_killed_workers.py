"""Workers that are killed while they have jobs: the jobs are redelivered to another worker, or after a restart."""

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

SEED = 20
KILLS = 5


@pytest.mark.chaos
def test_the_jobs_of_a_killed_worker_are_done_by_another(cluster: Cluster, ledger: Ledger) -> None:
    """No sweep is running, and the killed worker does not come back before the end."""
    victim, _ = cluster.workers
    cluster.control_images(min_ms=200, max_ms=600)
    ledger.enqueue(150)
    wait_for(lambda: cluster.queued()["unacked"] > 64, "both workers to have jobs")
    victim.kill()
    wait_for_report(ledger).assert_complete()


@pytest.mark.chaos
def test_five_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """With the real model, during its forward passes."""
    rng = random.Random(SEED)  # noqa: S311  (not a secret)
    with Cluster(tmp_path, app=REAL) as cluster:
        cluster.start_workers("a", "b")
        cluster.start_sweep()
        cluster.control_images(min_ms=100, max_ms=400)
        ledger = Ledger(cluster, "killed")
        for _ in range(KILLS):
            ledger.enqueue(120, record=True)
            wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
            time.sleep(rng.uniform(0.0, 0.5))
            victim = rng.choice(cluster.workers)
            victim.await_ready()
            victim.kill()
            victim.start(wait=False)
        # Even a job that was running in two killed workers is done: neither worker ran it alone.
        wait_for_report(ledger).assert_complete()


@pytest.mark.chaos
def test_small_jobs_survive_a_worker_that_is_killed_every_few_seconds(cluster: Cluster, ledger: Ledger) -> None:
    """As many jobs as two workers do in some seconds; `python -m tests.chaos --jobs 50000` runs more."""
    cluster.control_images(min_ms=0, max_ms=0)
    ledger.enqueue(3000, record=True)
    victims = iter(cluster.workers * 3)
    while cluster.queued()["images"] and (victim := next(victims, None)):
        time.sleep(3)
        victim.restart()
    wait_for_report(ledger, 120).assert_complete()
