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
def test_retries_survive_the_kill_of_redis_and_of_all_workers(cluster: Cluster, ledger: Ledger) -> None:
    """A worker that starts finds those that are due; none of them has run twice."""
    cluster.control_images(mode="away")
    ledger.enqueue(100)
    wait_for(lambda: _are_delayed(cluster, 100), "every job to wait for its next attempt")
    for worker in cluster.workers:
        worker.kill()
    cluster.redis.kill()
    cluster.redis.start()
    assert _are_delayed(cluster, 100)
    cluster.control_images(mode="fine")
    cluster.make_due()
    cluster.start_exited()
    report = wait_for_report(ledger)
    report.assert_complete()
    assert report.duplicates == 0


@pytest.mark.chaos
def test_retries_that_redis_cannot_store_are_neither_lost_nor_doubled(cluster: Cluster, ledger: Ledger) -> None:
    """The workers are told to try again while the disk of Redis is full, and while it is away."""
    cluster.control_images(mode="away", min_ms=1000, max_ms=1500)
    ledger.enqueue(60)
    wait_for(lambda: cluster.queued()["unacked"] == 60, "all jobs to be in flight")
    with cluster.redis.full_disk():
        lines = [f"job={image_id} runs again in 3600 s" for image_id in ledger.expected]
        wait_for(lambda: all(line in cluster.worker_logs() for line in lines), "every job to fail")
        cluster.redis.kill()
    cluster.redis.start()
    wait_for(lambda: _are_delayed(cluster, 60), "every job to wait for its next attempt")
    cluster.control_images(mode="fine", min_ms=0, max_ms=0)
    cluster.make_due()
    report = wait_for_report(ledger)
    report.assert_complete()
    assert report.duplicates == 0


def _are_delayed(cluster: Cluster, count: int) -> bool:
    return {kind: number for kind, number in cluster.queued().items() if number} == {"delayed": count}


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
