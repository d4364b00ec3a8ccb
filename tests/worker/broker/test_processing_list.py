"""What a worker is just taking stands on a list of its own, until it is noted as taken or given back."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from worker.broker import deliveries as holding
from worker.broker.processing_list import ProcessingList, rescue

LONG_S, NOT_LONG_S = 0.0, 1000.0


def waiting(queue: redis.Redis) -> list[bytes]:
    """What waits, the next one first."""
    items: Any = queue.lrange("images", 0, -1)
    return list(reversed(items))


def take(queue: redis.Redis, taker: ProcessingList) -> None:
    queue.lmove("images", taker.key, "RIGHT", "LEFT")


def test_what_a_silent_process_was_taking_goes_back_to_where_it_was(queue: redis.Redis) -> None:
    taker = ProcessingList()
    taker.sign_in(queue)
    queue.lpush("images", "one", "two")
    take(queue, taker)
    assert waiting(queue) == [b"two"]
    assert rescue(queue, LONG_S) == 1
    assert waiting(queue) == [b"one", b"two"]
    assert rescue(queue, LONG_S) == 0


def test_what_was_taken_together_keeps_its_order(queue: redis.Redis) -> None:
    taker = ProcessingList()
    taker.sign_in(queue)
    queue.lpush("images", "one", "two", "three")
    for _ in range(2):
        take(queue, taker)
    taker.sign_in(queue)
    assert waiting(queue) == [b"one", b"two", b"three"]


def test_a_process_that_shows_life_keeps_what_it_takes(queue: redis.Redis) -> None:
    taker = ProcessingList()
    taker.sign_in(queue)
    queue.lpush("images", "one")
    take(queue, taker)
    assert rescue(queue, NOT_LONG_S) == 0
    assert waiting(queue) == []


def test_what_a_lost_answer_left_behind_goes_back_when_the_process_signs_in(queue: redis.Redis) -> None:
    taker = ProcessingList()
    queue.lpush("images", "one")
    take(queue, taker)
    taker.sign_in(queue)
    assert waiting(queue) == [b"one"]


def test_a_process_that_ends_leaves_nothing_behind(queue: redis.Redis) -> None:
    taker = ProcessingList()
    taker.sign_in(queue)
    queue.lpush("images", "one")
    take(queue, taker)
    taker.sign_out(queue)
    assert waiting(queue) == [b"one"]
    assert not queue.exists(taker.key)


def test_what_redis_hands_to_a_process_that_has_signed_out_is_found(queue: redis.Redis) -> None:
    """Its last question was still open."""
    taker = ProcessingList()
    taker.sign_in(queue)
    taker.sign_out(queue)
    queue.lpush("images", "one")
    take(queue, taker)
    assert rescue(queue, LONG_S) == 1
    assert waiting(queue) == [b"one"]


def test_two_that_rescue_at_once_double_nothing(queue: redis.Redis) -> None:
    for number in range(200):
        taker = ProcessingList()
        taker.sign_in(queue)
        queue.lpush(taker.key, str(number))
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: rescue(queue, LONG_S), range(4)))
    assert sum(counts) == 200
    assert sorted(map(int, waiting(queue))) == list(range(200))


def test_messages_with_a_priority_are_taken_too(queue: redis.Redis) -> None:
    """Celery's own producers put them on other lists, of which none would be looked at."""
    queue.lpush("images", "waits longer")
    for step in (3, 6, 9):
        queue.lpush(f"images\x06\x16{step}", f"priority {step}")
    ProcessingList().sign_in(queue)
    assert waiting(queue)[0] == b"waits longer"
    assert len(waiting(queue)) == 4


def note(queue: redis.Redis, tag: str, at: float) -> None:
    """Note a message as kombu does."""
    queue.hset("unacked", tag, json.dumps([{"body": tag}, "", "images"]))
    queue.zadd("unacked_index", {tag: at})


def held(*tags: str) -> holding.Deliveries:
    holdings = holding.Deliveries()
    for tag in tags:
        holdings.take(tag)
    return holdings


def test_what_is_held_can_be_kept_for_longer(queue: redis.Redis) -> None:
    note(queue, "mine", 1.0)
    note(queue, "another's", 1.0)
    holdings = held("mine", "given away meanwhile")
    holdings.keep(queue)
    scores: Any = dict(queue.zrange("unacked_index", 0, -1, withscores=True))  # type: ignore[arg-type]
    assert scores.keys() == {b"mine", b"another's"}
    assert scores[b"another's"] == 1.0
    assert scores[b"mine"] > 1_700_000_000
    assert holdings.tags == ["mine"]
    held().keep(queue)


def test_what_is_held_can_be_given_back(queue: redis.Redis) -> None:
    queue.lpush("images", "waits")
    note(queue, "mine", 1.0)
    assert holding.give_back(queue, ["mine", "acked meanwhile"]) == 1
    assert waiting(queue) == [b'{"body": "mine"}', b"waits"]
    assert not queue.exists("unacked", "unacked_index")


def test_what_redis_could_not_be_told_it_is_told_later(queue: redis.Redis) -> None:
    for tag in ("done", "back", "runs"):
        note(queue, tag, 1.0)
    holdings = held("done", "back", "runs")
    holdings.end_later("done", give_back=False)
    holdings.end_later("back", give_back=True)
    assert holdings.tags == ["runs"]
    with redis.Redis(port=1) as away, pytest.raises(redis.ConnectionError):
        holdings.settle(away)
    for _ in range(2):
        holdings.settle(queue)
    assert waiting(queue) == [b'{"body": "back"}']
    assert queue.hkeys("unacked") == [b"runs"]
