"""A Redis with no room left: what is in flight ends, nothing more is taken, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos

REFUSED = "Redis refused a write; consumption paused for 5 s:"


def test_a_redis_that_is_full_stops_the_workers_and_loses_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_workers("a")
        ledger = Ledger(cluster, "full")
        ledger.enqueue(300)
        wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
        cluster.broker.config_set("maxmemory", 100_000)
        log = cluster.workers[0].log
        wait_for(lambda: REFUSED in log.read_text(), "the worker to say so")
        wait_for(lambda: not cluster.queued()["unacked"], "what it has to be done")
        assert cluster.queued()["images"]
        assert cluster.workers[0].runs
        cluster.broker.config_set("maxmemory", 0)
        wait_for_report(ledger).assert_complete()


def test_a_redis_that_fills_up_while_a_message_is_taken_gets_it_back(tmp_path: Path) -> None:
    """Moved off the queue, it cannot be noted as taken."""
    with Cluster(tmp_path) as cluster:
        cluster.start_workers("a")
        ledger = Ledger(cluster, "refused")
        (worker,) = cluster.workers
        for _ in range(20):
            with worker.frozen():
                ledger.enqueue(15)
                if cluster.queued()["taken"]:
                    cluster.broker.config_set("maxmemory", 100_000)
                    break
        wait_for(lambda: REFUSED in worker.log.read_text(), "the worker to say so")
        assert cluster.queued()["taken"] == 1
        cluster.broker.config_set("maxmemory", 0)
        wait_for_report(ledger).assert_complete()
        assert "Connection to broker lost" not in worker.log.read_text()


def test_a_worker_that_connects_to_a_full_redis_waits_and_asks_seldom(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_workers("a")
        ledger = Ledger(cluster, "reconnects")
        (worker,) = cluster.workers
        cluster.control_images(least_ms=1500, most_ms=1600)
        ledger.enqueue(300)
        wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
        cluster.broker.config_set("maxmemory", 100_000)
        cluster.broker.client_kill_filter(_type="normal", skipme=True)
        wait_for(lambda: worker.log.read_text().count(REFUSED) >= 3, "the worker to have tried three times")
        assert "Frequent restarts" not in worker.log.read_text()
        cluster.broker.config_set("maxmemory", 0)
        cluster.control_images(least_ms=30, most_ms=100)
        wait_for_report(ledger).assert_complete()
