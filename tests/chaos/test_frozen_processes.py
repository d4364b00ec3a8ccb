"""Processes that freeze and wake up (SIGSTOP, SIGCONT), as on a network that stalls: nothing closes or answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger

pytestmark = pytest.mark.chaos


# Redis for longer than the workers wait for its answers (10 s).
@pytest.mark.parametrize(("name", "seconds"), [("redis", 12.0), ("mongo", 4.0), ("images", 4.0)])
def test_a_server_that_freezes_for_a_while_fails_no_job(
    cluster: Cluster, ledger: Ledger, name: str, seconds: float
) -> None:
    ledger.enqueue(350)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    with getattr(cluster, name).frozen():
        time.sleep(seconds)
    wait_for_report(ledger).assert_complete()


def test_a_worker_that_sleeps_through_the_visibility_timeout_wakes_up_to_jobs_that_others_did(
    cluster: Cluster, ledger: Ledger
) -> None:
    sleeper, _ = cluster.workers
    cluster.control_images(least_ms=200, most_ms=600)
    ledger.enqueue(350)
    wait_for(lambda: cluster.queued()["unacked"] > 40, "jobs to be in flight")
    with sleeper.frozen():
        cluster.control_images(least_ms=0, most_ms=0)
        # Not before the visibility timeout: it holds some of them.
        wait_for(lambda: not any(cluster.queued().values()), "the other worker to have done all")
    wait_for_report(ledger).assert_complete()
    ledger.enqueue(100)
    wait_for_report(ledger).assert_complete()
    assert all(worker.runs for worker in cluster.workers)
