"""`clipqueue status`: the state of each image, as text and as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from producer.contract.names import DELAYED
from tests.support.commands import invoke
from tests.support.delayed import delay_image
from tests.support.mongo_proxy import error_answer, refusing

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack


@pytest.fixture
def env(stack: Stack) -> dict[str, str]:
    return {"MONGODB_URI": stack.mongodb_uri}


def test_status_shows_each_state(env: dict[str, str], collection: Collection[dict[str, Any]], new_id: str) -> None:
    done_id = ObjectId()
    done_job = {"status": "done", "model": "m", "dim": 2, "finished_at": datetime(2026, 1, 2, tzinfo=UTC)}
    error = {"code": "http_404", "stage": "fetch", "message": "gone"}
    collection.insert_many(
        [
            {"_id": f"{new_id}-odd", "embedding_job": "queued"},
            {"_id": f"{new_id}-odder", "embedding_job": {"status": "failed", "error": "gone"}},
            {"_id": done_id, "embedding_job": done_job},
            {"_id": f"{new_id}-failed", "embedding_job": {"status": "failed", "error": error}},
            {"_id": f"{new_id}-new", "url": "http://host/"},
        ]
    )
    asked = [str(done_id), f"{new_id}-failed", f"{new_id}-new", f"{new_id}-none", f"{new_id}-odd", f"{new_id}-odder"]

    lines = invoke("status", *asked, **env)
    assert lines.returncode == 1
    assert [line.split("\t")[:2] for line in lines.stdout.splitlines()] == [
        [asked[0], "done"],
        [asked[1], "failed"],
        [asked[2], "pending"],
        [asked[3], "unknown"],
        [asked[4], "pending"],
        [asked[5], "failed"],
    ]
    assert "http_404 at fetch: gone" in lines.stdout

    as_json = invoke("status", "--json", str(done_id), **env)
    assert as_json.returncode == 0
    assert json.loads(as_json.stdout) == {"id": str(done_id), **done_job, "finished_at": "2026-01-02T00:00:00+00:00"}


def test_an_id_that_is_no_text_is_unknown(env: dict[str, str]) -> None:
    asked = invoke("status", "a\udcff", **env)
    assert (asked.returncode, asked.stdout.split("\t")[:2]) == (1, ["a\\udcff", "unknown"])


def test_without_an_id_it_shows_what_waits_until_when_and_for_whom(redis_url: str, queue: redis.Redis) -> None:
    empty = invoke("status", REDIS_URL=redis_url)
    assert (empty.returncode, empty.stdout) == (0, "waiting\t0\nin flight\t0\ndelayed\t0\n")
    queue.lpush("images", "a", "b")
    queue.hset("unacked", "tag", "c")
    delay_image(queue, "d", "https://slow.example/d.jpg?sig=secret", wait_s=1500)
    delay_image(queue, "e", "https://down.example/e.jpg", wait_s=600)
    delay_image(queue, "f", "https://down.example/f.jpg", wait_s=600)
    busy = invoke("status", REDIS_URL=redis_url)
    lines = busy.stdout.splitlines()
    assert (busy.returncode, lines[:2]) == (1, ["waiting\t2", "in flight\t1"])
    hosts = "hosts: down.example (2), slow.example (1)"
    assert lines[2] == f"delayed\t3\tthe first is due in 10 min, the last in 25 min; {hosts}"
    shown = json.loads(invoke("status", "--json", REDIS_URL=redis_url).stdout)
    first, last = (datetime.fromisoformat(shown.pop(name)) for name in ("first_due_at", "last_due_at"))
    assert 899 <= (last - first).total_seconds() <= 901
    counts = {"waiting": 2, "in_flight": 1, "delayed": 3}
    assert shown == {**counts, "hosts": {"down.example": 2, "slow.example": 1}}


def test_rubbish_among_the_delayed_messages_is_shown(redis_url: str, queue: redis.Redis) -> None:
    queue.zadd(DELAYED, {b"\xff[": "-inf", b"[[": "inf"})
    asked = invoke("status", REDIS_URL=redis_url)
    lines = asked.stdout.splitlines()
    assert lines[2] == "delayed\t2\tthe first is due now, the last in more than a year; hosts: unknown (2)"
    shown = json.loads(invoke("status", "--json", REDIS_URL=redis_url).stdout)
    assert (shown["first_due_at"], shown["last_due_at"]) == ("1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z")


def test_a_queue_that_cannot_be_asked_is_not_known() -> None:
    unreachable = invoke("status", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert (unreachable.returncode, unreachable.stdout) == (3, "")
    assert "Redis at 127.0.0.1:1 did not answer" in unreachable.stderr
    assert "hunter2" not in unreachable.stderr


NOWHERE = "mongodb://user:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=100"


@pytest.mark.parametrize("question", [("status", "photo-1"), ("search", "--like", "photo-1"), ("index", "show")])
def test_a_question_that_cannot_be_answered_has_an_exit_code_of_its_own(question: tuple[str, ...]) -> None:
    """1 would say that the image is not done, or that there is no image or no index; 2 that the command is wrong."""
    unreachable = invoke(*question, MONGODB_URI=NOWHERE)
    assert (unreachable.returncode, unreachable.stdout) == (3, "")
    assert "MongoDB at 127.0.0.1:1 did not answer" in unreachable.stderr
    assert "hunter2" not in unreachable.stderr
    assert invoke(*question).returncode == 3, "without a URI"
    assert invoke(*question, "--odd").returncode == 2


def test_a_status_that_mongodb_refuses_is_not_known(env: dict[str, str]) -> None:
    with refusing(env["MONGODB_URI"], {"find": error_answer(13, "Unauthorized", "not authorized: {secret}")}) as proxy:
        done = invoke("status", "photo-1", MONGODB_URI=proxy.uri)
    assert (done.returncode, done.stdout) == (3, "")
    assert "give it the role readWrite" in done.stderr
    assert "secret" not in done.stderr
