"""A Redis that is full of jobs: clients are refused, and the workers drain it. Nothing raises its limit of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.errors import BrokerUnavailable
from tests.chaos.cluster import Cluster
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FREE_BYTES = 1_000_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with one worker, which has not started yet, and a Redis with little free memory."""
    with Cluster(tmp_path) as cluster:
        cluster.add_worker("a")
        memory: Any = cluster.broker.info("memory")
        cluster.broker.config_set("maxmemory", memory["used_memory"] + FREE_BYTES)
        yield cluster


def fill(ledger: Ledger) -> str:
    """Enqueue until Redis is full. Return what the client says then."""
    refusal = ""

    def is_refused() -> bool:
        nonlocal refusal
        try:
            ledger.enqueue(20)
        except BrokerUnavailable as exc:
            refusal = str(exc)
            ledger.forget(20)
        return bool(refusal)

    wait_for(is_refused, "Redis to be full")
    return refusal


def test_a_worker_that_starts_on_a_full_redis_drains_it(cluster: Cluster) -> None:
    ledger = Ledger(cluster, "full")
    assert "full" in fill(ledger)
    waiting = cluster.queued()["images"]
    assert waiting > 100
    (worker,) = cluster.workers
    worker.start()
    wait_for_report(ledger).assert_complete()
    assert ledger.jobs >= waiting
    ledger.enqueue(10)
    wait_for_report(ledger).assert_complete()


@pytest.mark.chaos
def test_a_redis_that_is_full_again_and_again_loses_nothing(cluster: Cluster) -> None:
    """Jobs are retried meanwhile, the worker is killed, and loses its connection: each step needs Redis."""
    ledger = Ledger(cluster, "again")
    (worker,) = cluster.workers
    worker.start()
    cluster.control_images(mode="flap", seed=1)
    for disturb in (
        lambda: None,
        lambda: cluster.broker.client_kill_filter(_type="normal", skipme=True),
        worker.restart,
    ):
        fill(ledger)
        disturb()
    cluster.control_images(mode="fine")
    wait_for_report(ledger).assert_complete()
    assert "Frequent restarts" not in cluster.worker_logs()
