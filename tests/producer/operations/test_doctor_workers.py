"""`clipqueue doctor`: findings on the workers, from their heartbeats."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.names import WORKER_KEY, WORKERS
from tests.support.doctor import run_doctor, write_heartbeat, write_worker
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack


def test_no_live_worker_is_a_problem(own: Stack, own_broker: redis.Redis) -> None:
    is_ok, text = run_doctor(own)["workers"]
    assert not is_ok
    assert "celery -A worker.app worker" in text


def test_live_workers_are_listed(own: Stack, own_broker: redis.Redis) -> None:
    for number in range(12):
        write_heartbeat(own_broker, f"celery@host-{number:02}", started_at=1_767_312_000_000)
    is_ok, text = run_doctor(own)["workers"]
    assert is_ok
    assert text.startswith("12 workers alive:\n")
    assert "celery@host-00 since 2026-01-02 00:00:00 UTC, ViT-B-32-quickgelu/openai, fp32 on cpu, 32 images" in text
    assert text.splitlines()[-2].startswith("celery@host-09 since")
    assert text.splitlines()[-1] == "and 2 more"


def test_a_worker_that_only_answers_queries_consumes_nothing(own: Stack, own_broker: redis.Redis) -> None:
    """It may run without MongoDB, and in another precision, so only its model is compared."""
    queries: dict[str, Any] = {"images": False, "queries": True, "dim": 512, "context_length": 77}
    write_heartbeat(own_broker, "celery@q", precision="bf16", database="none", store_away=True, **queries)
    is_ok, text = run_doctor(own)["workers"]
    assert not is_ok
    assert "fp32" not in text
    assert "bf16 on cpu, queries, clipqueue" in text
    assert "CLIPQUEUE_SERVE" in text
    write_heartbeat(own_broker, "celery@both", **{**queries, "images": True})
    write_heartbeat(own_broker, "celery@earlier")
    found = run_doctor(own)
    assert all(found.is_ok[subject] for subject in ("workers", "model", "precision", "settings"))
    assert "32 images at once and queries" in found.text["workers"]
    write_heartbeat(own_broker, "celery@q", model="other/model", **queries)
    assert not run_doctor(own).is_ok["model"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 5000,
        json.dumps({"node": "celery@a"}).encode(),
    ],
)
def test_an_unreadable_heartbeat_is_counted(own: Stack, own_broker: redis.Redis, content: bytes) -> None:
    write_heartbeat(own_broker, "celery@valid")
    assert "heartbeats" not in run_doctor(own).is_ok
    write_worker(own_broker, "odd", content)
    found = run_doctor(own)
    assert found.text["workers"].startswith("1 worker alive:")
    assert found.is_ok["heartbeats"] is False
    assert found.text["heartbeats"].startswith("1 heartbeat of workers cannot be read")


@pytest.mark.parametrize("fields", [{"at": -1}, {"at": 10**30}, {"concurrency": "32"}, {"upsert": 1}, {"node": None}])
def test_a_heartbeat_with_invalid_values_is_unreadable(
    own: Stack, own_broker: redis.Redis, fields: dict[str, Any]
) -> None:
    write_heartbeat(own_broker, "celery@odd", **fields)
    found = run_doctor(own)
    assert (found.is_ok["workers"], found.is_ok["heartbeats"]) == (False, False)


def test_a_worker_without_a_recent_heartbeat_is_not_alive(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@silent")
    own_broker.pexpire(WORKER_KEY + "celery@silent", 1)
    own_broker.zadd(WORKERS, {"another type of key": time.time()})
    own_broker.lpush("another type of key", "x")
    wait_for(lambda: not own_broker.exists(WORKER_KEY + "celery@silent"), "the heartbeat to expire")
    found = run_doctor(own)
    assert found.text["workers"].startswith("none is alive")
    assert "heartbeats" not in found.is_ok


def test_the_keys_of_other_programs_are_not_scanned(own: Stack, own_broker: redis.Redis) -> None:
    """The commands name the keys that they read."""
    write_heartbeat(own_broker, "celery@a")
    own_broker.config_resetstat()
    assert run_doctor(own).is_ok["workers"]
    commands = own_broker.info("commandstats")
    assert not {"cmdstat_scan", "cmdstat_keys"} & set(commands), commands


def test_control_characters_of_a_heartbeat_are_not_printed(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@\x1b[2J", model="m\x07", version="1\n", precision="\x07", device="\x07")
    write_heartbeat(own_broker, "celery@b", collection="\x1b]0;x", store_away=True)
    assert not any(char in text for text in run_doctor(own).text.values() for char in "\x1b\x07")


def test_workers_with_different_models_are_a_problem(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@a")
    assert run_doctor(own)["model"] == (True, "all workers run ViT-B-32-quickgelu/openai")
    write_heartbeat(own_broker, "celery@b", model="other/model")
    is_ok, text = run_doctor(own)["model"]
    assert not is_ok
    assert "other/model: celery@b" in text
    assert "--only stale" in text


def test_workers_in_different_precisions_are_a_problem(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@a", precision="bf16", device="cuda:1")
    found = run_doctor(own)
    assert found["precision"] == (True, "all workers run in bf16")
    assert "ViT-B-32-quickgelu/openai, bf16 on cuda:1, 32 images at once" in found.text["workers"]
    write_heartbeat(own_broker, "celery@b", precision="fp32")
    is_ok, text = run_doctor(own)["precision"]
    assert not is_ok
    assert "bf16: celery@a\nfp32: celery@b" in text
    assert "CLIPQUEUE_PRECISION" in text


@pytest.mark.parametrize(
    ("fields", "variable"),
    [
        ({"visibility_timeout_s": 81}, "CLIPQUEUE_VISIBILITY_TIMEOUT_S: 80 (celery@a); 81 (celery@b)"),
        ({"database": "other"}, "the database in MONGODB_URI: clipqueue (celery@a); other (celery@b)"),
        ({"collection": "photos"}, "CLIPQUEUE_COLLECTION: images (celery@a); photos (celery@b)"),
        ({"upsert": False}, "CLIPQUEUE_UPSERT: False (celery@b); True (celery@a)"),
    ],
)
def test_settings_that_differ_between_workers_are_named(
    own: Stack, own_broker: redis.Redis, fields: dict[str, Any], variable: str
) -> None:
    write_heartbeat(own_broker, "celery@a")
    write_heartbeat(own_broker, "celery@b")
    assert run_doctor(own).is_ok["settings"]
    write_heartbeat(own_broker, "celery@b", **fields)
    is_ok, text = run_doctor(own)["settings"]
    assert not is_ok
    assert variable in text


def test_workers_that_write_to_another_collection_are_named(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@a", collection="photos")
    is_ok, text = run_doctor(own)["settings"]
    assert not is_ok
    assert "uses collection 'images' of database 'clipqueue', but celery@a does not" in text
    assert run_doctor(own, CLIPQUEUE_COLLECTION="photos").is_ok["settings"]
    elsewhere = own.mongodb_uri.replace("/clipqueue", "/other")
    assert not run_doctor(own, CLIPQUEUE_COLLECTION="photos", MONGODB_URI=elsewhere).is_ok["settings"]


def test_without_a_mongodb_uri_only_the_workers_are_compared(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@a", collection="photos")
    assert run_doctor(own, MONGODB_URI=None).is_ok["settings"]


def test_workers_without_a_connection_to_mongodb_are_named(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@a")
    assert run_doctor(own).is_ok["workers' MongoDB"]
    write_heartbeat(own_broker, "celery@b", store_away=True)
    is_ok, text = run_doctor(own)["workers' MongoDB"]
    assert not is_ok
    assert "does not answer celery@b: consumption is paused" in text
