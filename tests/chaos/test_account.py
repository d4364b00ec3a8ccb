"""The account itself, and the schedule: an instrument that sees nothing would prove nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.contract.names import IMAGE_QUEUE
from tests.chaos.account import draw_up, settle
from tests.chaos.schedule import WEIGHTS, draw_schedule

if TYPE_CHECKING:
    from tests.chaos.arena import Arena
    from tests.chaos.ledger import Ledger

pytestmark = pytest.mark.chaos


def test_the_account_sees_what_is_missing_wrong_strange_and_left(arena: Arena, ledger: Ledger) -> None:
    lost, swapped, other, failed, *_ = ledger.enqueue(300)
    settle(ledger).must_balance()
    vector_of_other = arena.collection.find_one({"_id": other})["embedding"]  # type: ignore[index]
    for worker in arena.workers:
        worker.stop()
    arena.collection.delete_one({"_id": lost})
    arena.collection.update_one({"_id": swapped}, {"$set": {"embedding": vector_of_other}})
    arena.collection.update_one({"_id": failed}, {"$set": {"embedding_job.status": "failed"}})
    arena.collection.insert_one({"_id": "stranger"})
    arena.broker.lpush(IMAGE_QUEUE, "{}")
    account = draw_up(ledger)
    assert account.missing == (lost,)
    assert [line.partition(":")[0] for line in account.wrong] == [swapped, failed]
    assert (account.done, account.strangers, account.left["images"]) == (298, 1, 1)
    assert len(account.problems()) == 5
    with pytest.raises(AssertionError, match="1 images are missing"):
        account.must_balance()


def test_the_same_seed_is_the_same_schedule_and_another_is_another() -> None:
    assert draw_schedule(7, 10) == draw_schedule(7, 10)
    assert draw_schedule(7, 10) != draw_schedule(8, 10)
    assert {fault.name for fault in draw_schedule(7, 60)} == set(WEIGHTS)
