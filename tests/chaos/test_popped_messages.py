"""A worker that is killed after Redis popped a message for it, and before it recorded the message as unacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.cluster import VISIBILITY_S, Cluster
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path


def test_a_worker_that_is_killed_while_it_pops_a_message_loses_nothing(tmp_path: Path) -> None:
    """The worker is frozen while it waits for a message: Redis pops one for it. No sweep is running."""
    with Cluster(tmp_path) as cluster:
        cluster.start_workers("a")
        ledger = Ledger(cluster, "popped")
        (worker,) = cluster.workers
        with ledger.enqueue_into_a_frozen_pop() as popped:
            worker.kill()
        assert not worker.is_running
        assert cluster.queued()["popped"] == popped
        worker.start()
        ledger.enqueue(100)
        wait_for(lambda: not cluster.queued()["popped"], "the message to be requeued", 2 * VISIBILITY_S)
        report = wait_for_report(ledger)
        report.assert_complete()
        assert report.requeued_by_sweep == 0
