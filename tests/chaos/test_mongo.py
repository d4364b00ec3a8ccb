"""MongoDB unavailable, MongoDB killed during writes, and a worker killed between its write and its ack."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.report import ENDED, wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger

OUTAGE_S = 8.0


@pytest.mark.chaos
def test_an_outage_of_mongodb_fails_no_job(cluster: Cluster, ledger: Ledger) -> None:
    ledger.enqueue(150)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    cluster.mongo.kill()
    ledger.enqueue(200)
    time.sleep(OUTAGE_S)
    cluster.mongo.start()
    wait_for_report(ledger).assert_complete()


def test_a_mongodb_that_is_killed_during_writes_loses_nothing(cluster: Cluster, ledger: Ledger) -> None:
    cluster.control_images(min_ms=100, max_ms=400)
    for _ in range(3):
        before = cluster.collection.count_documents(ENDED)
        ledger.enqueue(120)
        wait_for(lambda before=before: cluster.collection.count_documents(ENDED) > before, "writes")  # type: ignore[misc]
        cluster.mongo.restart()
    wait_for_report(ledger).assert_complete()


def test_a_worker_that_is_killed_between_write_and_ack_changes_nothing(cluster: Cluster, ledger: Ledger) -> None:
    """While Redis is frozen, results are written and no job is acked. Then the workers are killed."""
    cluster.control_images(min_ms=500, max_ms=1000)
    ledger.enqueue(200)
    # The freeze may hide up to 32 recorded messages from each worker. The workers have the other 40.
    wait_for(lambda: cluster.queued()["unacked"] >= 104, "jobs to be in flight")
    with cluster.redis.frozen():
        wait_for(lambda: cluster.collection.count_documents(ENDED) >= 40, "their results")
        for worker in cluster.workers:
            worker.kill()
    # Redelivered jobs run one at a time, because each of them may have killed its worker.
    cluster.control_images(min_ms=0, max_ms=0)
    cluster.start_exited()
    report = wait_for_report(ledger)
    report.assert_complete()
    assert report.skipped, "jobs whose result was written are skipped"
    assert report.duplicates == 0
