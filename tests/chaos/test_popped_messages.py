"""The moment between the queue and a worker: a message that was being taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.cluster import VISIBILITY_S, Cluster
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos


def test_a_worker_killed_while_it_takes_a_message_loses_nothing(tmp_path: Path) -> None:
    """Frozen, it waits at Redis for the next one: Redis hands that out, and nobody is there. No sweep runs."""
    with Cluster(tmp_path) as cluster:
        cluster.start_workers("a")
        ledger = Ledger(cluster, "taken")
        (worker,) = cluster.workers
        # Its question at Redis ends after a second, so this is repeated until it was open when the worker froze.
        for _ in range(20):
            with worker.frozen():
                ledger.enqueue(15)
                if cluster.queued()["taken"]:
                    worker.kill()
                    break
        assert not worker.runs, "the moment was never met"
        assert cluster.queued()["taken"] == 1
        worker.start()
        ledger.enqueue(300 - len(ledger.expected))
        wait_for(lambda: not cluster.queued()["taken"], "the message to be given back", 2 * VISIBILITY_S)
        report = wait_for_report(ledger)
        report.assert_complete()
        assert report.requeued_by_sweep == 0
