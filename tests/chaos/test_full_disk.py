"""Servers whose disk is full: they do not confirm what they cannot write, and nobody believes that it is stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from producer.contract.errors import BrokerUnavailable
from tests.chaos.report import wait_for_report
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.cluster import Cluster
    from tests.chaos.ledger import Ledger

FULL_S = 3.0


@pytest.mark.chaos
def test_a_full_disk_of_mongodb_fails_no_job(cluster: Cluster, ledger: Ledger) -> None:
    ledger.enqueue(150)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    with cluster.mongo.full_disk():
        ledger.enqueue(150)
        time.sleep(FULL_S)
    wait_for_report(ledger).assert_complete()


def test_a_full_disk_of_redis_is_reported_to_the_backend_and_loses_nothing(cluster: Cluster, ledger: Ledger) -> None:
    """Redis answers every write with an error, acks included, and the workers wait."""
    cluster.control_images(min_ms=200, max_ms=600)
    ledger.enqueue(300)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    with cluster.redis.full_disk():
        wait_for(lambda: _is_refused(cluster), "Redis to notice")
        time.sleep(FULL_S)
    wait_for(lambda: not _is_refused(cluster), "Redis to write again")
    assert all(worker.is_running for worker in cluster.workers)
    wait_for_report(ledger).assert_complete("worker_lost")


def _is_refused(cluster: Cluster) -> bool:
    try:
        cluster.client.enqueue("probe", f"{cluster.images_url}/0/probe.jpg")
    except BrokerUnavailable:
        return True
    cluster.known_ids.add("probe")
    return False
