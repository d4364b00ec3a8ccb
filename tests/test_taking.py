"""What a worker is just taking stands on a list of its own, until it is noted as taken or given back."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis

from worker import holding
from worker.taking import Taker, rescue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.local.stack import Stack

LONG_S, NOT_LONG_S = 0.0, 1000.0


@pytest.fixture
def server(stack: Stack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.redis_url.removesuffix("0") + "5") as server:
        server.flushdb()
        yield server


def queue(server: redis.Redis) -> list[bytes]:
    """What waits, the next one first."""
    waiting: Any = server.lrange("images", 0, -1)
    return list(reversed(waiting))


def take(server: redis.Redis, taker: Taker) -> None:
    server.lmove("images", taker.key, "RIGHT", "LEFT")


def test_what_a_silent_process_was_taking_goes_back_to_where_it_was(server: redis.Redis) -> None:
    taker = Taker()
    taker.sign_in(server)
    server.lpush("images", "one", "two")
    take(server, taker)
    assert queue(server) == [b"two"]
    assert rescue(server, LONG_S) == 1
    assert queue(server) == [b"one", b"two"]
    assert rescue(server, LONG_S) == 0


def test_a_process_that_shows_life_keeps_what_it_takes(server: redis.Redis) -> None:
    taker = Taker()
    taker.sign_in(server)
    server.lpush("images", "one")
    take(server, taker)
    assert rescue(server, NOT_LONG_S) == 0
    assert queue(server) == []


def test_what_a_lost_answer_left_behind_goes_back_when_the_process_signs_in(server: redis.Redis) -> None:
    taker = Taker()
    server.lpush("images", "one")
    take(server, taker)
    taker.sign_in(server)
    assert queue(server) == [b"one"]


def test_a_process_that_ends_leaves_nothing_behind(server: redis.Redis) -> None:
    taker = Taker()
    taker.sign_in(server)
    server.lpush("images", "one")
    take(server, taker)
    taker.sign_out(server)
    assert queue(server) == [b"one"]
    assert not server.exists(taker.key)


def test_what_redis_hands_to_a_process_that_has_signed_out_is_found(server: redis.Redis) -> None:
    """Its last question was still open."""
    taker = Taker()
    taker.sign_in(server)
    taker.sign_out(server)
    server.lpush("images", "one")
    take(server, taker)
    assert rescue(server, LONG_S) == 1
    assert queue(server) == [b"one"]


def test_two_that_rescue_at_once_double_nothing(server: redis.Redis) -> None:
    for number in range(200):
        taker = Taker()
        taker.sign_in(server)
        server.lpush(taker.key, str(number))
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: rescue(server, LONG_S), range(4)))
    assert sum(counts) == 200
    assert sorted(map(int, queue(server))) == list(range(200))


def test_messages_with_a_priority_are_taken_too(server: redis.Redis) -> None:
    """Celery's own producers put them on other lists, of which none would be looked at."""
    server.lpush("images", "waits longer")
    for step in (3, 6, 9):
        server.lpush(f"images\x06\x16{step}", f"priority {step}")
    Taker().sign_in(server)
    assert queue(server)[0] == b"waits longer"
    assert len(queue(server)) == 4


def note(server: redis.Redis, tag: str, at: float) -> None:
    """Note a message as kombu does."""
    server.hset("unacked", tag, json.dumps([{"body": tag}, "", "images"]))
    server.zadd("unacked_index", {tag: at})


def held(*tags: str) -> holding.Holdings:
    holdings = holding.Holdings()
    for tag in tags:
        holdings.take(tag)
    return holdings


def test_what_is_held_can_be_kept_for_longer(server: redis.Redis) -> None:
    note(server, "mine", 1.0)
    note(server, "another's", 1.0)
    holdings = held("mine", "given away meanwhile")
    holdings.keep(server)
    scores: Any = dict(server.zrange("unacked_index", 0, -1, withscores=True))  # type: ignore[arg-type]
    assert scores.keys() == {b"mine", b"another's"}
    assert scores[b"another's"] == 1.0
    assert scores[b"mine"] > 1_700_000_000
    assert holdings.tags == ["mine"]
    held().keep(server)


def test_what_is_held_can_be_given_back(server: redis.Redis) -> None:
    server.lpush("images", "waits")
    note(server, "mine", 1.0)
    assert holding.give_back(server, ["mine", "acked meanwhile"]) == 1
    assert queue(server) == [b'{"body": "mine"}', b"waits"]
    assert not server.exists("unacked", "unacked_index")


def test_what_redis_could_not_be_told_it_is_told_later(server: redis.Redis) -> None:
    for tag in ("done", "back", "runs"):
        note(server, tag, 1.0)
    holdings = held("done", "back", "runs")
    holdings.end_later("done", give_back=False)
    holdings.end_later("back", give_back=True)
    assert holdings.tags == ["runs"]
    with redis.Redis(port=1) as away, pytest.raises(redis.ConnectionError):
        holdings.settle(away)
    for _ in range(2):
        holdings.settle(server)
    assert queue(server) == [b'{"body": "back"}']
    assert server.hkeys("unacked") == [b"runs"]
