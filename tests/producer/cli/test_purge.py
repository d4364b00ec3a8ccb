"""`clipqueue purge`: asks, then deletes the waiting or the parked messages and nothing else."""

from __future__ import annotations

import os
import pty
import subprocess
from typing import TYPE_CHECKING

import pytest

from producer.contract.names import BACKFILLS, DELAYED, IMAGE_QUEUE, PARKED_BYTES, PARKED_DROPPED, PARKED_LIST
from tests.support.commands import COMMAND, invoke
from tests.support.delayed import delay_image

if TYPE_CHECKING:
    import redis


@pytest.fixture
def broker(queue: redis.Redis) -> redis.Redis:
    """A Redis on which three messages wait, two are in flight and one was parked."""
    queue.lpush(IMAGE_QUEUE, "a", "b", "c")
    queue.hset("unacked", mapping={"tag-1": "d", "tag-2": "e"})
    queue.lpush(PARKED_LIST, "f")
    return queue


def lengths(broker: redis.Redis) -> tuple[object, object, object]:
    return broker.llen(IMAGE_QUEUE), broker.hlen("unacked"), broker.llen(PARKED_LIST)


def answer(text: str, redis_url: str, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal, type `text`, and return the exit code and the output."""
    typing, terminal = pty.openpty()
    env = {**os.environ, "REDIS_URL": redis_url}
    os.write(typing, text.encode())
    try:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(typing)
        os.close(terminal)
    return done.returncode, done.stdout


def test_waiting_messages_are_deleted_and_those_in_flight_stay(broker: redis.Redis, redis_url: str) -> None:
    done = invoke("purge", "--yes", REDIS_URL=redis_url)
    assert (done.returncode, done.stdout) == (0, "deleted 3 waiting messages\n")
    assert "clipqueue backfill" in done.stderr
    assert lengths(broker) == (0, 2, 1)


def test_delayed_messages_are_deleted_too(broker: redis.Redis, redis_url: str) -> None:
    delay_image(broker, "a")
    delay_image(broker, "b")
    asked = invoke("purge", REDIS_URL=redis_url)
    assert (asked.returncode, broker.zcard(DELAYED)) == (1, 2)
    assert "3 waiting and 2 delayed messages at 127.0.0.1:" in asked.stderr
    done = invoke("purge", "--yes", REDIS_URL=redis_url)
    assert (done.returncode, done.stdout) == (0, "deleted 3 waiting and 2 delayed messages\n")
    assert "clipqueue backfill" in done.stderr
    assert (lengths(broker), broker.exists(DELAYED)) == ((0, 2, 1), 0)


def test_a_queue_of_delayed_messages_alone_is_not_empty(broker: redis.Redis, redis_url: str) -> None:
    broker.delete(IMAGE_QUEUE)
    delay_image(broker, "a")
    assert "0 waiting and 1 delayed message at" in invoke("purge", REDIS_URL=redis_url).stderr


def test_the_progress_of_a_backfill_is_asked_for_too(broker: redis.Redis, redis_url: str) -> None:
    """With --yes, it is forgotten also if the queue is empty."""
    broker.delete(IMAGE_QUEUE)
    broker.sadd(BACKFILLS, "clipqueue:backfill:a")
    broker.hset("clipqueue:backfill:a", "progress", "{}")
    asked = invoke("purge", REDIS_URL=redis_url)
    assert asked.returncode == 1
    assert "0 waiting messages and the progress of 1 backfill at 127.0.0.1:" in asked.stderr
    assert broker.hexists("clipqueue:backfill:a", "progress")
    assert answer("y\n", redis_url, "purge")[0] == 0
    assert not broker.hexists("clipqueue:backfill:a", "progress")
    assert invoke("purge", REDIS_URL=redis_url).stdout.startswith("there is no waiting message")


def test_the_option_parked_deletes_only_parked_messages_and_their_counters(broker: redis.Redis, redis_url: str) -> None:
    broker.mset({PARKED_BYTES: 1, PARKED_DROPPED: 3})
    done = invoke("purge", "--parked", "--yes", REDIS_URL=redis_url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "deleted 1 parked message\n", "")
    assert lengths(broker) == (3, 2, 0)
    assert not broker.exists(PARKED_BYTES, PARKED_DROPPED)


def test_purging_the_queue_keeps_the_counters_of_parked_messages(broker: redis.Redis, redis_url: str) -> None:
    broker.mset({PARKED_BYTES: 1, PARKED_DROPPED: 3})
    assert invoke("purge", "--yes", REDIS_URL=redis_url).returncode == 0
    assert broker.mget(PARKED_BYTES, PARKED_DROPPED) == [b"1", b"3"]


@pytest.mark.parametrize(("typed", "exit_code", "left"), [("y\n", 0, 0), ("n\n", 1, 3), ("\n", 1, 3), ("\x04", 1, 3)])
def test_on_a_terminal_it_asks(broker: redis.Redis, redis_url: str, typed: str, exit_code: int, left: int) -> None:
    code, output = answer(typed, redis_url, "purge")
    assert "Delete 3 waiting messages at 127.0.0.1:" in output
    assert "Traceback" not in output
    assert (code, lengths(broker)) == (exit_code, (left, 2, 1))


def test_without_a_terminal_it_needs_the_option_yes(broker: redis.Redis, redis_url: str) -> None:
    done = invoke("purge", stdin="y\n", REDIS_URL=redis_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "3 waiting messages" in done.stderr
    assert "give --yes" in done.stderr
    assert lengths(broker) == (3, 2, 1)


def test_an_empty_list_is_reported_without_asking(broker: redis.Redis, redis_url: str) -> None:
    broker.delete(IMAGE_QUEUE)
    done = invoke("purge", REDIS_URL=redis_url)
    assert done.returncode == 0
    assert done.stdout.startswith("there is no waiting message at 127.0.0.1:")


def test_an_unavailable_or_missing_redis_is_a_message_without_the_password() -> None:
    unavailable = invoke("purge", "--yes", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert unavailable.returncode == 1
    assert unavailable.stderr.startswith("clipqueue: Redis at 127.0.0.1:1 failed during the purge: ")
    assert "hunter2" not in unavailable.stderr
    assert "REDIS_URL is not set" in invoke("purge").stderr
