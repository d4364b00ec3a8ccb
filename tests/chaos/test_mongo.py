"""MongoDB away, killed in the middle of writes, and a worker killed between its write and its ack."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.report import ENDED, wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger

pytestmark = pytest.mark.chaos

AWAY_S = 8.0


def test_mongodb_being_away_fails_no_job(cluster: Cluster, ledger: Ledger) -> None:
    ledger.enqueue(150)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    cluster.mongo.kill()
    ledger.enqueue(200)
    time.sleep(AWAY_S)
    cluster.mongo.start()
    wait_for_report(ledger).assert_complete()


def test_mongodb_killed_in_the_middle_of_writes_loses_nothing(cluster: Cluster, ledger: Ledger) -> None:
    cluster.control_images(least_ms=100, most_ms=400)
    for _ in range(3):
        before = cluster.collection.count_documents(ENDED)
        ledger.enqueue(120)
        wait_for(lambda before=before: cluster.collection.count_documents(ENDED) > before, "writes")  # type: ignore[misc]
        cluster.mongo.restart()
    wait_for_report(ledger).assert_complete()


def test_a_worker_killed_between_write_and_ack_changes_nothing(cluster: Cluster, ledger: Ledger) -> None:
    """Redis is frozen, so that results are written and none is acked; then the workers die."""
    cluster.control_images(least_ms=500, most_ms=1000)
    before = cluster.collection.count_documents(ENDED)
    ledger.enqueue(300)
    wait_for(lambda: cluster.queued()["unacked"] >= 40, "jobs to be in flight")
    with cluster.redis.frozen():
        wait_for(lambda: cluster.collection.count_documents(ENDED) >= before + 40, "their results")
        for worker in cluster.workers:
            worker.kill()
    # They come back one by one, being suspected of having killed their workers.
    cluster.control_images(least_ms=0, most_ms=0)
    for worker in cluster.workers:
        worker.start()
    report = wait_for_report(ledger)
    report.assert_complete()
    assert report.skipped, "what was written already is not done again"
    assert report.doubles == 0
