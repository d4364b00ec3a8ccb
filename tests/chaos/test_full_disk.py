"""Servers that may write no more: what they cannot keep, they do not confirm, and nobody takes it for kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from producer.contract.errors import BrokerUnavailable
from tests.chaos.account import settle
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.chaos.arena import Arena
    from tests.chaos.ledger import Ledger

pytestmark = pytest.mark.chaos

FULL_S = 3.0


def test_a_full_disk_under_mongodb_fails_no_job(arena: Arena, ledger: Ledger) -> None:
    ledger.enqueue(150)
    wait_for(lambda: arena.queued()["unacked"], "jobs to be in flight")
    with arena.mongo.disk_full():
        ledger.enqueue(150)
        time.sleep(FULL_S)
    settle(ledger).must_balance()


def test_a_full_disk_under_redis_is_told_to_the_backend_and_loses_nothing(arena: Arena, ledger: Ledger) -> None:
    """Redis answers every command that writes with an error, acks included: the workers wait for its end."""
    arena.control_images(least_ms=200, most_ms=600)
    ledger.enqueue(300)
    wait_for(lambda: arena.queued()["unacked"], "jobs to be in flight")
    with arena.redis.disk_full():
        wait_for(lambda: _is_refused(arena), "Redis to notice")
        time.sleep(FULL_S)
    wait_for(lambda: not _is_refused(arena), "Redis to write again")
    assert all(worker.runs for worker in arena.workers)
    settle(ledger).must_balance("worker_lost")


def _is_refused(arena: Arena) -> bool:
    try:
        arena.client.enqueue("probe", f"{arena.images_url}/0/probe.jpg")
    except BrokerUnavailable:
        return True
    arena.known_ids.add("probe")
    return False
