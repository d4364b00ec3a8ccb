"""A Redis without free memory: jobs in flight end, no more are consumed, and none is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFUSED = "Redis refused a write; consumption paused for 5 s:"
FULL_BYTES = 100_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with one worker."""
    with Cluster(tmp_path) as cluster:
        cluster.start_workers("a")
        yield cluster


def test_a_full_redis_pauses_the_workers_and_loses_nothing(cluster: Cluster) -> None:
    ledger = Ledger(cluster, "full")
    (worker,) = cluster.workers
    ledger.enqueue(300)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    cluster.broker.config_set("maxmemory", FULL_BYTES)
    wait_for(lambda: REFUSED in worker.log.read_text(), "the worker to log it")
    wait_for(lambda: not cluster.queued()["unacked"], "the jobs in flight to end")
    assert cluster.queued()["images"]
    assert worker.is_running
    cluster.broker.config_set("maxmemory", 0)
    wait_for_report(ledger).assert_complete()


@pytest.mark.chaos
def test_a_message_that_was_popped_when_redis_became_full_is_requeued(cluster: Cluster) -> None:
    """The message is on the processing list, and Redis refuses to record it as unacked."""
    ledger = Ledger(cluster, "refused")
    (worker,) = cluster.workers
    with ledger.enqueue_into_a_frozen_pop() as popped:
        cluster.broker.config_set("maxmemory", FULL_BYTES)
    wait_for(lambda: REFUSED in worker.log.read_text(), "the worker to log it")
    assert cluster.queued()["popped"] == popped
    cluster.broker.config_set("maxmemory", 0)
    wait_for_report(ledger).assert_complete()
    assert "Connection to broker lost" not in worker.log.read_text()


@pytest.mark.chaos
def test_a_worker_that_connects_to_a_full_redis_waits_between_its_attempts(cluster: Cluster) -> None:
    ledger = Ledger(cluster, "reconnects")
    (worker,) = cluster.workers
    cluster.control_images(min_ms=1500, max_ms=1600)
    ledger.enqueue(300)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    cluster.broker.config_set("maxmemory", FULL_BYTES)
    cluster.broker.client_kill_filter(_type="normal", skipme=True)
    wait_for(lambda: worker.log.read_text().count(REFUSED) >= 3, "the worker to have tried three times")
    assert "Frequent restarts" not in worker.log.read_text()
    cluster.broker.config_set("maxmemory", 0)
    cluster.control_images(min_ms=30, max_ms=100)
    wait_for_report(ledger).assert_complete()
