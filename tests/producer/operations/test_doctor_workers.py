"""What `clipqueue doctor` makes of the workers' notes, of the queue and of clocks that disagree."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.job import now_ms
from producer.contract.names import PARKED_LIST, WORKER_KEY
from producer.operations.doctor.clocks import Clock, clock_finding
from tests.support.doctor import examine, leave_note
from tests.support.messages import hand_made_message

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack


def waiting_for(minutes: float) -> str:
    return hand_made_message({"image_id": "a", "url": "http://host/", "enqueued_at": now_ms() - int(60_000 * minutes)})


def test_no_worker_alive_is_looked_at(own: Stack, own_broker: redis.Redis) -> None:
    is_well, text = examine(own)["workers"]
    assert not is_well
    assert "celery -A worker.app worker" in text


def test_workers_that_are_alive_are_shown(own: Stack, own_broker: redis.Redis) -> None:
    for number in range(12):
        leave_note(own_broker, f"celery@host-{number:02}", started_at=1_767_312_000_000)
    is_well, text = examine(own)["workers"]
    assert is_well
    assert text.startswith("12 workers alive:\n")
    assert "celery@host-00 since 2026-01-02 00:00:00 UTC, ViT-B-32-quickgelu/openai, 32 images at once" in text
    assert text.splitlines()[-2].startswith("celery@host-09 since")
    assert text.splitlines()[-1] == "and 2 more"


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 5000,
        json.dumps({"node": "celery@a"}).encode(),
        pytest.param(None, id="another type of key"),
    ],
)
def test_a_note_that_is_none_is_counted_and_breaks_nothing(
    own: Stack, own_broker: redis.Redis, note: bytes | None
) -> None:
    leave_note(own_broker, "celery@sound")
    assert "worker notes" not in examine(own).well
    if note is None:
        own_broker.lpush(WORKER_KEY + "odd", "x")
    else:
        own_broker.set(WORKER_KEY + "odd", note, ex=30)
    found = examine(own)
    assert found.text["workers"].startswith("1 worker alive:")
    assert found.well["worker notes"] is False
    assert found.text["worker notes"].startswith("1 note of workers")


@pytest.mark.parametrize("fields", [{"at": -1}, {"at": 10**30}, {"concurrency": "32"}, {"upsert": 1}, {"node": None}])
def test_a_note_with_values_of_the_wrong_kind_is_none(
    own: Stack, own_broker: redis.Redis, fields: dict[str, Any]
) -> None:
    leave_note(own_broker, "celery@odd", **fields)
    found = examine(own)
    assert (found.well["workers"], found.well["worker notes"]) == (False, False)


def test_a_note_that_never_expires_shows_no_life(own: Stack, own_broker: redis.Redis) -> None:
    leave_note(own_broker, "celery@forged", expire_s=None)
    assert examine(own).well["workers"] is False


def test_a_terminal_gets_no_control_characters_of_a_note(own: Stack, own_broker: redis.Redis) -> None:
    leave_note(own_broker, "celery@\x1b[2J", model="m\x07", version="1\n")
    leave_note(own_broker, "celery@b", collection="\x1b]0;x", store_away=True)
    assert not any(char in text for text in examine(own).text.values() for char in "\x1b\x07")


def test_workers_of_different_models_are_looked_at(own: Stack, own_broker: redis.Redis) -> None:
    leave_note(own_broker, "celery@a")
    assert examine(own)["model"] == (True, "all workers make vectors with ViT-B-32-quickgelu/openai")
    leave_note(own_broker, "celery@b", model="other/model")
    is_well, text = examine(own)["model"]
    assert not is_well
    assert "other/model: celery@b" in text
    assert "--only stale" in text


@pytest.mark.parametrize(
    ("fields", "variable"),
    [
        ({"visibility_timeout_s": 81}, "CLIPQUEUE_VISIBILITY_TIMEOUT_S: 80 (celery@a); 81 (celery@b)"),
        ({"database": "other"}, "the database in MONGODB_URI: clipqueue (celery@a); other (celery@b)"),
        ({"collection": "photos"}, "CLIPQUEUE_COLLECTION: images (celery@a); photos (celery@b)"),
        ({"upsert": False}, "CLIPQUEUE_UPSERT: False (celery@b); True (celery@a)"),
    ],
)
def test_settings_that_workers_disagree_about_are_named(
    own: Stack, own_broker: redis.Redis, fields: dict[str, Any], variable: str
) -> None:
    leave_note(own_broker, "celery@a")
    leave_note(own_broker, "celery@b")
    assert examine(own).well["settings"]
    leave_note(own_broker, "celery@b", **fields)
    is_well, text = examine(own)["settings"]
    assert not is_well
    assert variable in text


def test_workers_that_write_elsewhere_than_this_shell_reads_are_named(own: Stack, own_broker: redis.Redis) -> None:
    leave_note(own_broker, "celery@a", collection="photos")
    is_well, text = examine(own)["settings"]
    assert not is_well
    assert "mean collection 'images' of database 'clipqueue', but not those of celery@a" in text
    assert examine(own, CLIPQUEUE_COLLECTION="photos").well["settings"]
    elsewhere = own.mongodb_uri.replace("/clipqueue", "/other")
    assert not examine(own, CLIPQUEUE_COLLECTION="photos", MONGODB_URI=elsewhere).well["settings"]


def test_without_a_mongodb_only_the_workers_are_compared(own: Stack, own_broker: redis.Redis) -> None:
    leave_note(own_broker, "celery@a", collection="photos")
    assert examine(own, MONGODB_URI=None).well["settings"]


def test_workers_that_miss_their_mongodb_are_named(own: Stack, own_broker: redis.Redis) -> None:
    leave_note(own_broker, "celery@a")
    assert examine(own).well["workers' MongoDB"]
    leave_note(own_broker, "celery@b", store_away=True)
    is_well, text = examine(own)["workers' MongoDB"]
    assert not is_well
    assert "does not answer celery@b:" in text


def test_a_workers_clock_is_compared_with_the_moment_it_wrote_its_note(own: Stack, own_broker: redis.Redis) -> None:
    leave_note(own_broker, "celery@a")
    own_broker.expire(WORKER_KEY + "celery@a", 12)  # a note of 18 s ago
    is_well, text = examine(own)["clocks"]
    assert not is_well
    assert "celery@a +18.0 s" in text or "celery@a +17.9 s" in text
    leave_note(own_broker, "celery@a", at=now_ms() - 18_000)
    own_broker.expire(WORKER_KEY + "celery@a", 12)
    is_well, text = examine(own)["clocks"]
    assert is_well
    assert all(name in text for name in ("celery@a", "Redis", "MongoDB"))


@pytest.mark.parametrize(
    ("ahead_s", "is_well"),
    [((), True), ((4.9,), True), ((-4.9, 0.0), True), ((5.1,), False), ((-5.1,), False), ((3.0, -3.0), False)],
)
def test_clocks_may_be_five_seconds_apart(ahead_s: tuple[float, ...], is_well: bool) -> None:
    finding = clock_finding([Clock(f"server-{number}", ahead) for number, ahead in enumerate(ahead_s)])
    assert finding.is_well is is_well
    assert ("NTP" in "\n".join(finding.lines)) is not is_well


def test_the_queue_shows_how_many_wait_and_for_how_long(own: Stack, own_broker: redis.Redis) -> None:
    assert examine(own)["queue"] == (True, "0 messages wait on 'images'")
    own_broker.lpush("images", waiting_for(minutes=5))
    assert examine(own)["queue"] == (True, "1 message waits on 'images'; the oldest job is 5 min old")


def test_the_oldest_job_may_be_at_either_end(own: Stack, own_broker: redis.Redis) -> None:
    """A retry is put in behind jobs that were enqueued after it."""
    own_broker.lpush("images", waiting_for(minutes=3), waiting_for(minutes=5))
    assert "the oldest job is 5 min old" in examine(own).text["queue"]
    own_broker.rpush("images", waiting_for(minutes=7))
    assert "the oldest job is 7 min old" in examine(own).text["queue"]


@pytest.mark.parametrize("odd", [b"", b"\xff", b"{}", b"[]", b'{"body": 5}', b'{"body": "W10="}'])
def test_what_waits_and_is_no_job_has_no_age(own: Stack, own_broker: redis.Redis, odd: bytes) -> None:
    own_broker.rpush("images", odd)
    assert examine(own)["queue"] == (True, "1 message waits on 'images'")
    own_broker.lpush("images", waiting_for(minutes=3))
    assert examine(own)["queue"] == (True, "2 messages wait on 'images'; the oldest job is 3 min old")


@pytest.mark.parametrize("enqueued_at", [True, "now", -1, 10**30, None])
def test_a_time_that_is_none_is_no_age(own: Stack, own_broker: redis.Redis, enqueued_at: Any) -> None:
    own_broker.lpush("images", hand_made_message({"enqueued_at": enqueued_at}))
    assert examine(own)["queue"] == (True, "1 message waits on 'images'")


def test_a_job_that_waits_for_ten_minutes_is_looked_at_with_the_likely_reason(
    own: Stack, own_broker: redis.Redis
) -> None:
    own_broker.lpush("images", waiting_for(minutes=11))
    assert "No worker takes them" in examine(own).text["queue"]
    leave_note(own_broker, "celery@a")
    assert "take none of them" in examine(own).text["queue"]
    own_broker.hset("unacked", "tag", "message")
    is_well, text = examine(own)["queue"]
    assert not is_well
    assert "start more of them" in text


def test_what_is_in_flight_beyond_the_visibility_timeout_is_looked_at(own: Stack, own_broker: redis.Redis) -> None:
    own_broker.hset("unacked", "tag", "message")
    own_broker.zadd("unacked_index", {"tag": time.time() - 100})
    assert "the next worker to start gives them back" in examine(own).text["in flight"]
    leave_note(own_broker, "celery@a")
    assert examine(own).well["in flight"]  # 80 s, and the workers' pause between two looks
    leave_note(own_broker, "celery@b", visibility_timeout_s=60)
    is_well, text = examine(own)["in flight"]
    assert not is_well
    assert "after 60 s the workers should have given it to another" in text


def test_what_was_parked_is_looked_at(own: Stack, own_broker: redis.Redis) -> None:
    assert examine(own).well["parked"]
    own_broker.lpush(PARKED_LIST, "not of a worker's making")
    is_well, text = examine(own)["parked"]
    assert not is_well
    assert "an entry that no worker wrote" in text
    assert "clipqueue purge --parked" in text
