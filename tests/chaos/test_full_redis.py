"""A Redis with no room left: what is in flight ends, nothing more is taken, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.account import settle
from tests.chaos.arena import Arena
from tests.chaos.ledger import Ledger
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos

REFUSED = "Redis refused a write; consumption paused for 5 s:"


def test_a_redis_that_is_full_stops_the_workers_and_loses_nothing(tmp_path: Path) -> None:
    with Arena(tmp_path) as arena:
        arena.start_workers("a")
        ledger = Ledger(arena, "full")
        ledger.enqueue(300)
        wait_for(lambda: arena.queued()["unacked"], "jobs to be in flight")
        arena.broker.config_set("maxmemory", 100_000)
        log = arena.workers[0].log
        wait_for(lambda: REFUSED in log.read_text(), "the worker to say so")
        wait_for(lambda: not arena.queued()["unacked"], "what it has to be done")
        assert arena.queued()["images"]
        assert arena.workers[0].runs
        arena.broker.config_set("maxmemory", 0)
        settle(ledger).must_balance()


def test_a_redis_that_fills_up_while_a_message_is_taken_gets_it_back(tmp_path: Path) -> None:
    """Moved off the queue, it cannot be noted as taken."""
    with Arena(tmp_path) as arena:
        arena.start_workers("a")
        ledger = Ledger(arena, "refused")
        (worker,) = arena.workers
        for _ in range(20):
            with worker.frozen():
                ledger.enqueue(15)
                if arena.queued()["taken"]:
                    arena.broker.config_set("maxmemory", 100_000)
                    break
        wait_for(lambda: REFUSED in worker.log.read_text(), "the worker to say so")
        assert arena.queued()["taken"] == 1
        arena.broker.config_set("maxmemory", 0)
        settle(ledger).must_balance()
        assert "Connection to broker lost" not in worker.log.read_text()


def test_a_worker_that_connects_to_a_full_redis_waits_and_asks_seldom(tmp_path: Path) -> None:
    with Arena(tmp_path) as arena:
        arena.start_workers("a")
        ledger = Ledger(arena, "reconnects")
        (worker,) = arena.workers
        arena.control_images(least_ms=1500, most_ms=1600)
        ledger.enqueue(300)
        wait_for(lambda: arena.queued()["unacked"], "jobs to be in flight")
        arena.broker.config_set("maxmemory", 100_000)
        arena.broker.client_kill_filter(_type="normal", skipme=True)
        wait_for(lambda: worker.log.read_text().count(REFUSED) >= 3, "the worker to have tried three times")
        assert "Frequent restarts" not in worker.log.read_text()
        arena.broker.config_set("maxmemory", 0)
        arena.control_images(least_ms=30, most_ms=100)
        settle(ledger).must_balance()
