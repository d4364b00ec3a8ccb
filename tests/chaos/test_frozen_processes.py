"""Processes that freeze and continue (SIGSTOP, SIGCONT), as if the network stalled: connections stay open, silent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger


# Redis freezes for longer than the workers' socket timeout of 10 s.
@pytest.mark.chaos
@pytest.mark.parametrize(("name", "seconds"), [("redis", 12.0), ("mongo", 4.0), ("images", 4.0)])
def test_a_server_that_freezes_for_a_while_fails_no_job(
    cluster: Cluster, ledger: Ledger, name: str, seconds: float
) -> None:
    ledger.enqueue(350)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    with getattr(cluster, name).frozen():
        time.sleep(seconds)
    wait_for_report(ledger).assert_complete()


@pytest.mark.chaos
def test_a_worker_that_freezes_beyond_the_visibility_timeout_does_no_harm(cluster: Cluster, ledger: Ledger) -> None:
    """When it continues, another worker has done its jobs."""
    frozen, _ = cluster.workers
    cluster.control_images(min_ms=200, max_ms=600)
    ledger.enqueue(200)
    wait_for(lambda: cluster.queued()["unacked"] > 40, "jobs to be in flight")
    with frozen.frozen():
        cluster.control_images(min_ms=0, max_ms=0)
        # This takes the visibility timeout, because the frozen worker has some of the jobs.
        wait_for(lambda: not any(cluster.queued().values()), "the other worker to do all jobs")
    wait_for_report(ledger).assert_complete()
    ledger.enqueue(100)
    wait_for_report(ledger).assert_complete()
    assert all(worker.is_running for worker in cluster.workers)
