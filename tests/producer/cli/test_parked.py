"""`clipqueue parked`: lists, requeues and drops what was no valid job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from producer.contract.names import IMAGE_QUEUE, PARKED_BYTES, PARKED_DROPPED, PARKED_LIST
from tests.producer.cli.test_purge import answer
from tests.support.commands import Completed, invoke
from tests.support.parked import legacy_entry, park

if TYPE_CHECKING:
    import redis

URL = b"garbage \x1b[2J http://host/a.jpg?sig=deadbeef"


@pytest.fixture
def ids(queue: redis.Redis) -> list[str]:
    """The ids of three parked messages, the oldest first; the second was cut."""
    return [*park(queue, URL), *park(queue, b"x" * 50, size=900_000), *park(queue, b"{}")]


@pytest.fixture
def legacy_id(queue: redis.Redis) -> str:
    """The id by which an entry without one is listed. It is the newest."""
    queue.lpush(PARKED_LIST, legacy_entry(b"legacy"))
    return str(json.loads(invoke("parked", "list", "--json", REDIS_URL=url_of(queue)).stdout.splitlines()[0])["id"])


def url_of(queue: redis.Redis) -> str:
    connection = queue.connection_pool.connection_kwargs
    return f"redis://{connection['host']}:{connection['port']}/{connection['db']}"


def run(redis_url: str, *arguments: str) -> Completed:
    return invoke("parked", *arguments, REDIS_URL=redis_url)


def test_messages_are_listed_newest_first_without_queries_and_control_characters(
    ids: list[str], redis_url: str
) -> None:
    done = run(redis_url, "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ids[::-1]
    facts = f"{ids[0]}  2026-01-02 03:04:05 UTC, {len(URL)} bytes, the item is not JSON: "
    assert done.stdout.splitlines()[2] == facts + "garbage \N{REPLACEMENT CHARACTER}[2J http://host/a.jpg..."


def test_each_message_is_one_json_object(ids: list[str], redis_url: str) -> None:
    _, cut, oldest = map(json.loads, run(redis_url, "list", "--json").stdout.splitlines())
    assert oldest == {
        "id": ids[0],
        "parked_at": "2026-01-02T03:04:05+00:00",
        "reason": "the item is not JSON",
        "bytes": len(URL),
        "can_be_requeued": True,
        "start": "garbage \N{REPLACEMENT CHARACTER}[2J http://host/a.jpg...",
    }
    assert (cut["bytes"], cut["can_be_requeued"]) == (900_000, False)


@pytest.mark.parametrize(("limit", "shown"), [("0", 0), ("2", 2), ("3", 3), ("9", 3)])
def test_the_option_limit(ids: list[str], redis_url: str, limit: str, shown: int) -> None:
    done = run(redis_url, "list", "--limit", limit)
    assert len(done.stdout.splitlines()) == shown
    assert done.stderr == ("" if shown == 3 else f"{shown} of 3 parked messages shown; see --limit\n")


def test_an_empty_list(queue: redis.Redis, redis_url: str) -> None:
    assert run(redis_url, "list").stdout == "no message was parked\n"
    assert run(redis_url, "list", "--json").stdout == ""
    assert run(redis_url, "requeue", "--all").stdout == "requeued 0 parked messages\n"
    done = run(redis_url, "drop", "--all")
    assert (done.returncode, done.stdout) == (0, "no message was deleted\n")


def test_one_message_is_requeued_by_its_id(ids: list[str], queue: redis.Redis, redis_url: str) -> None:
    done = run(redis_url, "requeue", ids[0])
    assert (done.returncode, done.stdout, done.stderr) == (0, "requeued 1 parked message\n", "")
    assert queue.lrange(IMAGE_QUEUE, 0, -1) == [URL]
    assert queue.llen(PARKED_LIST) == 2


def test_a_legacy_entry_is_requeued_by_the_id_that_the_list_shows(
    legacy_id: str, queue: redis.Redis, redis_url: str
) -> None:
    assert run(redis_url, "requeue", legacy_id).returncode == 0
    assert queue.lrange(IMAGE_QUEUE, 0, -1) == [b"legacy"]
    assert not queue.exists(PARKED_LIST, PARKED_BYTES)


def test_a_cut_message_is_refused_and_the_others_are_requeued(
    ids: list[str], queue: redis.Redis, redis_url: str
) -> None:
    done = run(redis_url, "requeue", "--all")
    assert (done.returncode, done.stdout) == (1, "requeued 2 parked messages\n")
    assert (
        done.stderr
        == f"{ids[1]} cannot be requeued: only 50 of its 900,000 bytes were kept, because no valid message is larger\n"
    )
    assert queue.lrange(IMAGE_QUEUE, 0, -1) == [b"{}", URL]
    assert queue.llen(PARKED_LIST) == 1


@pytest.mark.parametrize("command", [["requeue"], ["drop", "--yes"]])
def test_an_unknown_id_is_named_and_the_others_are_used(
    command: list[str], ids: list[str], queue: redis.Redis, redis_url: str
) -> None:
    done = run(redis_url, *command, "0" * 32, ids[2], "\x1b")
    assert done.returncode == 1
    assert done.stderr.count("no parked message has the id") == 2
    assert "\x1b" not in done.stderr
    assert queue.llen(PARKED_LIST) == 2


@pytest.mark.parametrize("command", ["requeue", "drop"])
@pytest.mark.parametrize("arguments", [[], ["--all", "0" * 32]])
def test_ids_and_all_exclude_each_other(command: str, arguments: list[str]) -> None:
    done = invoke("parked", command, *arguments)
    assert done.returncode == 2
    assert "Give either ids or --all" in done.stderr


def test_a_message_is_dropped_by_its_id(ids: list[str], queue: redis.Redis, redis_url: str) -> None:
    done = run(redis_url, "drop", "--yes", ids[1])
    assert (done.returncode, done.stdout, done.stderr) == (0, "deleted 1 parked message\n", "")
    assert run(redis_url, "requeue", "--all").returncode == 0
    assert queue.lrange(IMAGE_QUEUE, 0, -1) == [b"{}", URL]


def test_all_messages_and_the_count_of_dropped_ones_are_deleted(
    ids: list[str], queue: redis.Redis, redis_url: str
) -> None:
    queue.set(PARKED_DROPPED, 12)
    queue.lpush(IMAGE_QUEUE, "waiting")
    assert run(redis_url, "drop", "--all", "--yes").stdout == "deleted 3 parked messages\n"
    assert queue.keys() == [IMAGE_QUEUE.encode()]


def test_without_a_terminal_drop_needs_the_option_yes(ids: list[str], queue: redis.Redis, redis_url: str) -> None:
    queue.set(PARKED_DROPPED, 12)
    done = run(redis_url, "drop", "--all")
    assert (done.returncode, done.stdout) == (1, "")
    assert "3 parked messages and the count of 12 that were dropped at 127.0.0.1:" in done.stderr
    assert "give --yes" in done.stderr
    assert queue.llen(PARKED_LIST) == 3


@pytest.mark.parametrize(("typed", "exit_code", "left"), [("y\n", 0, 2), ("n\n", 1, 3)])
def test_on_a_terminal_drop_asks(
    ids: list[str], queue: redis.Redis, redis_url: str, typed: str, exit_code: int, left: int
) -> None:
    code, output = answer(typed, redis_url, "parked", "drop", ids[0])
    assert "Delete 1 parked message at 127.0.0.1:" in output
    assert (code, queue.llen(PARKED_LIST)) == (exit_code, left)


def test_an_unavailable_redis_is_a_message_without_the_password() -> None:
    for command in (["list"], ["requeue", "--all"], ["drop", "--all"]):
        done = invoke("parked", *command, REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
        assert done.returncode == 1
        assert done.stderr.startswith("clipqueue: Redis at 127.0.0.1:1 did not ")
        assert "hunter2" not in done.stderr
