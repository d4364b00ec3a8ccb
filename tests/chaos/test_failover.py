"""A planned failover: the host name leads to a new primary, and the old one keeps its connections as a replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.cluster import Cluster
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

IN_FLIGHT = 64


def test_a_busy_worker_and_the_client_follow_a_failover(tmp_path: Path) -> None:
    with Cluster(tmp_path, replicated=True) as cluster:
        worker = cluster.add_worker("a", CLIPQUEUE_CONCURRENCY=str(IN_FLIGHT))
        worker.start()
        ledger = Ledger(cluster, "failover")
        for _ in range(2):  # there and back
            cluster.control_images(mode="away")
            ledger.enqueue(20)
            wait_for(lambda: cluster.queued()["delayed"] == 20, "jobs to wait for their next attempt")
            cluster.control_images(mode="fine", min_ms=1500, max_ms=1800)
            ledger.enqueue(2 * IN_FLIGHT)
            wait_for(lambda: cluster.queued()["unacked"] == IN_FLIGHT, "jobs to be in flight")
            cluster.fail_over()
            ledger.enqueue(20)
            cluster.make_due()
            # All this without a restart of anything, and long before the visibility timeout redelivers a job.
            report = wait_for_report(ledger, 10)
            report.assert_complete()
            assert report.duplicates == 0, "the jobs that run during the failover are acked on the new primary"
            assert cluster.queued()["images"] == 0
        assert worker.starts == 1
        assert worker.is_running
