"""Servers that may write no more: what they cannot keep, they do not confirm, and nobody takes it for kept."""

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

pytestmark = pytest.mark.chaos

FULL_S = 3.0


def test_a_full_disk_under_mongodb_fails_no_job(cluster: Cluster, ledger: Ledger) -> None:
    ledger.enqueue(150)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    with cluster.mongo.disk_full():
        ledger.enqueue(150)
        time.sleep(FULL_S)
    wait_for_report(ledger).assert_complete()


def test_a_full_disk_under_redis_is_told_to_the_backend_and_loses_nothing(cluster: Cluster, ledger: Ledger) -> None:
    """Redis answers every command that writes with an error, acks included: the workers wait for its end."""
    cluster.control_images(least_ms=200, most_ms=600)
    ledger.enqueue(300)
    wait_for(lambda: cluster.queued()["unacked"], "jobs to be in flight")
    with cluster.redis.disk_full():
        wait_for(lambda: _is_refused(cluster), "Redis to notice")
        time.sleep(FULL_S)
    wait_for(lambda: not _is_refused(cluster), "Redis to write again")
    assert all(worker.runs for worker in cluster.workers)
    wait_for_report(ledger).assert_complete("worker_lost")


def _is_refused(cluster: Cluster) -> bool:
    try:
        cluster.client.enqueue("probe", f"{cluster.images_url}/0/probe.jpg")
    except BrokerUnavailable:
        return True
    cluster.known_ids.add("probe")
    return False
