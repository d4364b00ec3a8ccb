"""The moment between the queue and a worker: a message that was being taken, and a Redis that can note nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from producer.contract import now_ms
from tests.chaos.account import settle
from tests.chaos.arena import VISIBILITY_S, Arena
from tests.chaos.ledger import Ledger
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos

REFUSED = "no message can be taken: Redis says"


def test_a_worker_killed_while_it_takes_a_message_loses_nothing(tmp_path: Path) -> None:
    """Frozen, it waits at Redis for the next one: Redis hands that out, and nobody is there. No sweep runs."""
    with Arena(tmp_path) as arena:
        arena.start_workers("a")
        ledger = Ledger(arena, "taken")
        (worker,) = arena.workers
        # Its question at Redis ends after a second, so this is repeated until it was open when the worker froze.
        for _ in range(20):
            with worker.frozen():
                ledger.enqueue(15)
                if arena.queued()["taken"]:
                    worker.kill()
                    break
        assert not worker.runs, "the moment was never met"
        assert arena.queued()["taken"] == 1
        worker.start()
        ledger.enqueue(300 - len(ledger.expected))
        wait_for(lambda: not arena.queued()["taken"], "the message to be given back", 2 * VISIBILITY_S)
        account = settle(ledger)
        account.must_balance()
        assert account.healed == 0


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


def test_a_worker_whose_model_hangs_ends_itself(tmp_path: Path) -> None:
    with Arena(tmp_path) as arena:
        flag = tmp_path / "hang"
        worker = arena.add_worker("a", STAND_IN_HANGS_WHILE=str(flag))
        worker.start()
        ledger = Ledger(arena, "hangs")
        flag.touch()
        ledger.enqueue(300)
        began = now_ms()
        assert worker.wait(60) == 70
        assert now_ms() - began > 2 * float(arena.env["CLIPQUEUE_ENCODE_S"]) * 1000, "not before nobody waits any more"
        assert "the model has not answered for" in worker.log.read_text()
        flag.unlink()
        worker.start()
        settle(ledger).must_balance()


def test_redis_away_for_long_is_waited_for(tmp_path: Path) -> None:
    """Longer than the visibility timeout, and than Celery's first pauses between its tries."""
    with Arena(tmp_path) as arena:
        arena.start_workers("a", "b")
        ledger = Ledger(arena, "away")
        ledger.enqueue(300)
        wait_for(lambda: arena.queued()["unacked"], "jobs to be in flight")
        arena.redis.kill()
        time.sleep(VISIBILITY_S + 8)
        arena.redis.start()
        ledger.enqueue(50)
        settle(ledger, 90).must_balance()
        assert [worker.starts for worker in arena.workers] == [1, 1]
        assert all(worker.runs for worker in arena.workers)
