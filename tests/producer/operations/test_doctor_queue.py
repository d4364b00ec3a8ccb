"""`clipqueue doctor`: findings on the queue, the parked messages and the clocks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.job import now_ms
from producer.contract.names import DELAYED, PARKED_BYTES, PARKED_DROPPED, PARKED_LIST, PARKED_MAX_BYTES
from producer.operations.doctor.clocks import Clock, clock_finding
from tests.support.commands import invoke
from tests.support.delayed import delay_image
from tests.support.doctor import run_doctor, write_heartbeat
from tests.support.messages import hand_made_message
from tests.support.parked import park

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack


def waiting_for(minutes: float) -> str:
    return hand_made_message({"image_id": "a", "url": "http://host/", "enqueued_at": now_ms() - int(60_000 * minutes)})


def test_a_workers_clock_is_compared_at_the_time_of_its_heartbeat(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@a", ago_s=18)
    is_ok, text = run_doctor(own)["clocks"]
    assert not is_ok
    assert "celery@a +18.0 s" in text or "celery@a +17.9 s" in text
    write_heartbeat(own_broker, "celery@a", ago_s=18, at=now_ms() - 18_000)
    is_ok, text = run_doctor(own)["clocks"]
    assert is_ok
    assert all(name in text for name in ("celery@a", "Redis", "MongoDB"))


@pytest.mark.parametrize(
    ("ahead_s", "is_ok"),
    [((4.9,), True), ((-4.9, 0.0), True), ((5.1,), False), ((-5.1,), False), ((3.0, -3.0), False)],
)
def test_clocks_may_be_five_seconds_apart(ahead_s: tuple[float, ...], is_ok: bool) -> None:
    finding = clock_finding([Clock(f"server-{number}", ahead) for number, ahead in enumerate(ahead_s)])
    assert finding.is_ok is is_ok
    assert ("NTP" in "\n".join(finding.lines)) is not is_ok


def test_a_clock_that_nobody_may_ask_is_unknown() -> None:
    assert clock_finding([]).outcome == "unknown"
    assert clock_finding([Clock("MongoDB", 1.0)], ["Redis' was not compared"]).outcome == "unknown"
    assert clock_finding([Clock("MongoDB", 6.0)], ["Redis' was not compared"]).outcome == "fail"


def test_the_queue_finding_has_the_length_and_the_oldest_job(own: Stack, own_broker: redis.Redis) -> None:
    assert run_doctor(own)["queue"] == (True, "0 messages wait on 'images'")
    own_broker.lpush("images", waiting_for(minutes=5))
    assert run_doctor(own)["queue"] == (True, "1 message waits on 'images'; the oldest job is 5 min old")


def test_the_oldest_job_may_be_at_either_end(own: Stack, own_broker: redis.Redis) -> None:
    """A retry is inserted behind newer jobs."""
    own_broker.lpush("images", waiting_for(minutes=3), waiting_for(minutes=5))
    assert "the oldest job is 5 min old" in run_doctor(own).text["queue"]
    own_broker.rpush("images", waiting_for(minutes=7))
    assert "the oldest job is 7 min old" in run_doctor(own).text["queue"]


@pytest.mark.parametrize("odd", [b"", b"\xff", b"{}", b"[]", b'{"body": 5}', b'{"body": "W10="}'])
def test_a_message_that_is_not_a_job_has_no_age(own: Stack, own_broker: redis.Redis, odd: bytes) -> None:
    own_broker.rpush("images", odd)
    assert run_doctor(own)["queue"] == (True, "1 message waits on 'images'")
    own_broker.lpush("images", waiting_for(minutes=3))
    assert run_doctor(own)["queue"] == (True, "2 messages wait on 'images'; the oldest job is 3 min old")


@pytest.mark.parametrize("enqueued_at", [True, "now", -1, 10**30, None])
def test_a_job_with_an_invalid_time_has_no_age(own: Stack, own_broker: redis.Redis, enqueued_at: Any) -> None:
    own_broker.lpush("images", hand_made_message({"enqueued_at": enqueued_at}))
    assert run_doctor(own)["queue"] == (True, "1 message waits on 'images'")


def test_a_job_that_waits_for_ten_minutes_is_a_problem_with_the_likely_reason(
    own: Stack, own_broker: redis.Redis
) -> None:
    own_broker.lpush("images", waiting_for(minutes=11))
    assert "No worker is alive" in run_doctor(own).text["queue"]
    write_heartbeat(own_broker, "celery@a")
    assert "The workers do not consume them" in run_doctor(own).text["queue"]
    own_broker.hset("unacked", "tag", "message")
    is_ok, text = run_doctor(own)["queue"]
    assert not is_ok
    assert "start more workers" in text


def test_a_job_that_has_waited_for_a_retry_does_not_say_how_long_jobs_wait(own: Stack, own_broker: redis.Redis) -> None:
    """Workers put due retries at the head of the queue."""
    kwargs = {"image_id": "a", "url": "http://host/", "enqueued_at": now_ms() - 3_600_000}
    own_broker.rpush("images", waiting_for(minutes=3), *[hand_made_message(kwargs, headers={"retries": 4})] * 3)
    assert run_doctor(own)["queue"] == (True, "4 messages wait on 'images'; the oldest job is 3 min old")


def test_delayed_jobs_are_no_problem(own: Stack, own_broker: redis.Redis) -> None:
    """The finding says until when they wait, and for which hosts."""
    assert run_doctor(own)["delayed"] == (True, "no message waits for its next attempt")
    delay_image(own_broker, "a", wait_s=600)
    waits = "1 message waits for the next attempt: the first is due in 10 min; hosts: host (1)"
    assert run_doctor(own)["delayed"] == (True, waits)
    for number in range(150):
        delay_image(own_broker, f"b-{number}", f"https://cdn.example.com/{number}.jpg?sig=secret", wait_s=3000 + number)
    own_broker.zadd(DELAYED, {"no message": 4e9})
    write_heartbeat(own_broker, "celery@a")
    is_ok, text = run_doctor(own)["delayed"]
    assert is_ok
    assert "152 messages wait for the next attempt: the first is due in 10 min, the last in " in text
    assert text.endswith(" more than a year; hosts of the first 100: cdn.example.com (99), host (1)")


@pytest.mark.parametrize("score", ["-inf", "inf", "1e300", "-5"])
def test_a_delayed_message_with_an_odd_time_is_shown(own: Stack, own_broker: redis.Redis, score: str) -> None:
    own_broker.zadd(DELAYED, {b"\xff": score})
    assert "1 message waits for the next attempt" in run_doctor(own).text["delayed"]
    assert '"hosts": {"unknown": 1}' in invoke("status", "--json", REDIS_URL=own.redis_url).stdout


def test_due_jobs_that_no_worker_takes_are_a_problem(own: Stack, own_broker: redis.Redis) -> None:
    delay_image(own_broker, "a", wait_s=-500)
    assert run_doctor(own).is_ok["delayed"]
    delay_image(own_broker, "b", wait_s=-700)
    assert "the next worker that starts takes those that are due" in run_doctor(own).text["delayed"]
    write_heartbeat(own_broker, "celery@a")
    is_ok, text = run_doctor(own)["delayed"]
    assert not is_ok
    assert "2 messages wait for the next attempt: the first is due now; hosts: host (2); no worker has taken" in text
    assert "for 12 min\nWorkers of earlier versions leave these messages alone: upgrade them" in text


def test_a_job_in_flight_beyond_the_visibility_timeout_is_a_problem(own: Stack, own_broker: redis.Redis) -> None:
    own_broker.hset("unacked", "tag", "message")
    own_broker.zadd("unacked_index", {"tag": time.time() - 100})
    assert "the next worker that starts redelivers them" in run_doctor(own).text["in flight"]
    write_heartbeat(own_broker, "celery@a")
    assert run_doctor(own).is_ok["in flight"]  # 80 s and the interval between two redeliveries
    write_heartbeat(own_broker, "celery@b", visibility_timeout_s=60)
    is_ok, text = run_doctor(own)["in flight"]
    assert not is_ok
    assert "the workers should have redelivered it after 60 s" in text


def test_parked_messages_are_a_problem(own: Stack, own_broker: redis.Redis) -> None:
    assert run_doctor(own)["parked"] == (True, "no message was parked")
    park(own_broker, b"garbage http://host/a.jpg?sig=deadbeef")
    own_broker.lpush(PARKED_LIST, "not written by a worker")
    is_ok, text = run_doctor(own)["parked"]
    assert not is_ok
    assert "2 messages on the queue (" in text
    assert " bytes) were not valid" in text
    assert "an unreadable entry" in text
    assert "garbage http://host/a.jpg..." in text
    assert all(f"clipqueue parked {command}" in text for command in ("list", "requeue", "drop"))


@pytest.mark.parametrize(
    ("size", "dropped", "is_ok", "shown"),
    [
        (None, None, True, "0 bytes of 16.0 MiB used; no parked message was dropped"),
        (PARKED_MAX_BYTES // 2, None, True, "8.0 MiB of 16.0 MiB used; no parked message was dropped"),
        (PARKED_MAX_BYTES // 2 + 1, None, False, "8.0 MiB of 16.0 MiB used: when it is full, the oldest"),
        (5000, 1, False, "1 parked message is lost: the oldest were dropped, because there were too many (4.9 KiB of"),
        (5000, 1200, False, "1,200 parked messages are lost"),
    ],
)
def test_dropped_messages_or_too_little_space_for_parked_ones_are_a_problem(
    size: int | None, dropped: int | None, is_ok: bool, shown: str, own: Stack, own_broker: redis.Redis
) -> None:
    for key, value in ((PARKED_BYTES, size), (PARKED_DROPPED, dropped)):
        if value is not None:
            own_broker.set(key, value)
    assert run_doctor(own).is_ok["parking space"] is is_ok
    assert run_doctor(own).text["parking space"].startswith(shown)
