"""Redis killed and restarted, Redis unavailable for long, and a Redis that lost all its data."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.cluster import VISIBILITY_S
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger

SEED = 30
KILLS = 3


def test_a_redis_that_is_killed_three_times_loses_nothing(cluster: Cluster, ledger: Ledger) -> None:
    """It has an append-only file, and the workers reconnect."""
    rng = random.Random(SEED)  # noqa: S311  (not a secret)
    pids = [worker.pid for worker in cluster.workers]
    cluster.control_images(min_ms=100, max_ms=400)
    for _ in range(KILLS):
        ledger.enqueue(150)
        wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
        time.sleep(rng.uniform(0.0, 0.5))
        cluster.redis.kill()
        time.sleep(rng.uniform(0.0, 1.0))
        cluster.redis.start()
    wait_for_report(ledger).assert_complete()
    assert [worker.pid for worker in cluster.workers if worker.is_running] == pids


@pytest.mark.chaos
def test_workers_wait_while_redis_is_unavailable_for_long(cluster: Cluster, ledger: Ledger) -> None:
    """The outage is longer than the visibility timeout, and than Celery's first pauses between its attempts."""
    pids = [worker.pid for worker in cluster.workers]
    ledger.enqueue(300)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    cluster.redis.kill()
    time.sleep(VISIBILITY_S + 8)
    cluster.redis.start()
    ledger.enqueue(50)
    wait_for_report(ledger, 90).assert_complete()
    assert [worker.pid for worker in cluster.workers if worker.is_running] == pids


def test_the_sweep_requeues_the_jobs_of_a_redis_that_lost_its_data(cluster: Cluster, ledger: Ledger) -> None:
    ledger.enqueue(200, record=True)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    cluster.broker.flushall()
    cluster.start_sweep(age_s=1)
    report = wait_for_report(ledger)
    report.assert_complete()
    assert report.requeued_by_sweep
