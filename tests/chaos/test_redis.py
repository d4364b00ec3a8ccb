"""Redis killed and started again, Redis away for long, and a Redis that has forgotten everything."""

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

pytestmark = pytest.mark.chaos

SEED = 30
KILLS = 3


def test_redis_killed_three_times_loses_nothing(cluster: Cluster, ledger: Ledger) -> None:
    """It keeps an append-only file, and the workers come back by themselves."""
    draw = random.Random(SEED)  # noqa: S311  (no secret)
    processes = [worker.pid for worker in cluster.workers]
    cluster.control_images(least_ms=100, most_ms=400)
    for _ in range(KILLS):
        ledger.enqueue(150)
        wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
        time.sleep(draw.uniform(0.0, 0.5))
        cluster.redis.kill()
        time.sleep(draw.uniform(0.0, 1.0))
        cluster.redis.start()
    wait_for_report(ledger).assert_complete()
    assert [worker.pid for worker in cluster.workers if worker.runs] == processes


def test_redis_away_for_long_is_waited_for(cluster: Cluster, ledger: Ledger) -> None:
    """Longer than the visibility timeout, and than Celery's first pauses between its tries."""
    processes = [worker.pid for worker in cluster.workers]
    ledger.enqueue(300)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    cluster.redis.kill()
    time.sleep(VISIBILITY_S + 8)
    cluster.redis.start()
    ledger.enqueue(50)
    wait_for_report(ledger, 90).assert_complete()
    assert [worker.pid for worker in cluster.workers if worker.runs] == processes


def test_the_sweep_heals_a_redis_that_has_lost_everything(cluster: Cluster, ledger: Ledger) -> None:
    ledger.enqueue(400, record=True)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    cluster.broker.flushall()
    cluster.start_sweep(age_s=1)
    report = wait_for_report(ledger)
    report.assert_complete()
    assert report.requeued_by_sweep
