"""Workers told to stop (SIGTERM) while they have jobs: they exit with 0, and hand back what they cannot finish."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.cluster import VISIBILITY_S
from tests.chaos.report import ENDED, wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger

pytestmark = pytest.mark.chaos


def test_a_worker_that_is_told_to_stop_leaves_its_jobs_to_another(cluster: Cluster, ledger: Ledger) -> None:
    one, _ = cluster.workers
    ledger.enqueue(500)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    assert one.stop() == 0
    report = wait_for_report(ledger)
    one.start()
    report.assert_complete()
    assert report.doubles == 0


def test_the_last_workers_that_are_told_to_stop_leave_their_jobs_on_the_queue(cluster: Cluster, ledger: Ledger) -> None:
    """Nothing waits for the visibility timeout."""
    cluster.control_images(least_ms=200, most_ms=600)
    ledger.enqueue(500)
    wait_for(lambda: cluster.collection.count_documents(ENDED), "the first results")
    for worker in cluster.workers:
        worker.send(signal.SIGTERM)
    assert [worker.wait(2 * VISIBILITY_S) for worker in cluster.workers] == [0, 0]
    left = cluster.queued()
    assert (left["unacked"], left["unacked_index"]) == (0, 0)
    assert left["images"]
    for worker in cluster.workers:
        worker.start()
    report = wait_for_report(ledger)
    report.assert_complete()
    assert report.doubles == 0


def test_a_worker_that_is_told_twice_gives_its_jobs_back_at_once(cluster: Cluster, ledger: Ledger) -> None:
    one, _ = cluster.workers
    cluster.control_images(least_ms=1500, most_ms=1500)
    ledger.enqueue(300)
    wait_for(lambda: cluster.queued()["unacked"] >= 60, "jobs to be in flight in both")
    one.send(signal.SIGTERM)
    wait_for(lambda: "Warm shutdown" in one.log.read_text(), "the worker to have heard it")
    assert one.stop() == 0
    cluster.control_images(least_ms=0, most_ms=0)
    given_back = re.search(r"second stop signal: requeued (\d+) unfinished jobs", one.log.read_text())
    assert given_back
    assert int(given_back[1])
    wait_for_report(ledger).assert_complete()
