"""Workers that get SIGTERM while they have jobs: they exit with 0 and requeue what they cannot finish."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.cluster import VISIBILITY_S
from tests.chaos.report import ENDED, wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger


@pytest.mark.chaos
def test_a_stopped_worker_leaves_its_jobs_to_another(cluster: Cluster, ledger: Ledger) -> None:
    stopped, _ = cluster.workers
    ledger.enqueue(500)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    assert stopped.stop() == 0
    report = wait_for_report(ledger)
    report.assert_complete()
    assert report.duplicates == 0


def test_the_last_workers_requeue_their_jobs_when_they_stop(cluster: Cluster, ledger: Ledger) -> None:
    """No job has to wait for the visibility timeout."""
    cluster.control_images(min_ms=200, max_ms=600)
    ledger.enqueue(300)
    wait_for(lambda: cluster.collection.count_documents(ENDED), "the first results")
    for worker in cluster.workers:
        worker.send(signal.SIGTERM)
    assert [worker.wait(2 * VISIBILITY_S) for worker in cluster.workers] == [0, 0]
    left = cluster.queued()
    assert (left["unacked"], left["unacked_index"]) == (0, 0)
    assert left["images"]
    cluster.start_exited()
    report = wait_for_report(ledger)
    report.assert_complete()
    assert report.duplicates == 0


def test_a_worker_requeues_its_jobs_at_once_on_a_second_sigterm(cluster: Cluster, ledger: Ledger) -> None:
    stopped, other = cluster.workers
    assert other.stop() == 0
    cluster.control_images(min_ms=1500, max_ms=1500)
    ledger.enqueue(300)
    wait_for(lambda: cluster.queued()["unacked"] >= 30, "the worker to have jobs")
    stopped.send(signal.SIGTERM)
    wait_for(lambda: "Warm shutdown" in stopped.log.read_text(), "the worker to handle the first signal")
    assert stopped.stop() == 0
    assert "second stop signal: requeued" in stopped.log.read_text()
    left = cluster.queued()
    assert (left["unacked"], left["unacked_index"], left["popped"]) == (0, 0, 0)
    cluster.control_images(min_ms=0, max_ms=0)
    cluster.start_exited()
    wait_for_report(ledger).assert_complete()
