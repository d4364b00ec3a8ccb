"""`clipqueue doctor`: findings on Redis and MongoDB, with and without problems."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from producer.documents.indexes import WANTED
from producer.operations.doctor.documents import count_finding, index_finding
from producer.operations.doctor.mongo import deployment_of, write_concern_finding
from producer.operations.doctor.redis import findings_of
from tests.support.commands import invoke
from tests.support.doctor import run_doctor, write_heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.database import Database

    from producer.documents.indexes import Index
    from producer.local.stack import Stack

Document = dict[str, Any]
UNAVAILABLE = "127.0.0.1:1"


@pytest.fixture
def database(own: Stack) -> Iterator[Database[Document]]:
    with pymongo.MongoClient[Document](own.mongodb_uri) as client:
        database = client["clipqueue"]
        yield database
        for name in database.list_collection_names():
            database.drop_collection(name)


@pytest.fixture
def config(own_broker: redis.Redis) -> Iterator[dict[str, str]]:
    """The configuration of Redis, which is restored after the test."""
    names = ("maxmemory", "maxmemory-policy", "appendonly")
    before = {name: str(own_broker.config_get(name)[name]) for name in names}
    yield before
    for name, value in before.items():
        own_broker.config_set(name, value)


def test_without_a_problem_every_line_is_ok_and_the_exit_code_is_0(
    own: Stack, own_broker: redis.Redis, database: Database[Document]
) -> None:
    write_heartbeat(own_broker, "celery@here")
    database["images"].insert_one({"_id": "photo-1", "embedding_job": {"status": "done"}})
    env = {"REDIS_URL": own.redis_url, "MONGODB_URI": own.mongodb_uri}
    done = invoke("doctor", **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if not line.startswith(("ok    ", "        "))] == []
    assert "ok    redis: Valkey " in done.stdout
    as_json = invoke("doctor", "--json", **env)
    assert as_json.returncode == 0
    assert {tuple(finding) for finding in json.loads(as_json.stdout)} == {("subject", "outcome", "well", "lines")}


def test_an_unavailable_server_is_a_finding_without_a_password(own: Stack, own_broker: redis.Redis) -> None:
    without_redis = run_doctor(own, REDIS_URL=f"redis://:hunter2@{UNAVAILABLE}/0")
    assert without_redis.exit_code == 1
    assert without_redis.is_ok["redis"] is False
    assert UNAVAILABLE in without_redis.text["redis"]
    assert without_redis.is_ok["mongodb"]
    without_mongodb = run_doctor(own, MONGODB_URI=f"mongodb://user:hunter2@{UNAVAILABLE}/?serverSelectionTimeoutMS=200")
    assert without_mongodb.exit_code == 1
    assert without_mongodb.is_ok["mongodb"] is False
    assert UNAVAILABLE in without_mongodb.text["mongodb"]
    assert without_mongodb.is_ok["redis"]
    assert "hunter2" not in str((without_redis.text, without_mongodb.text))


@pytest.mark.parametrize(
    ("setting", "value", "subject", "advice"),
    [
        ("REDIS_URL", None, "redis", "REDIS_URL is not set"),
        ("REDIS_URL", "redis://:hunter2@host:port/", "redis", "REDIS_URL is invalid"),
        ("MONGODB_URI", None, "mongodb", "MONGODB_URI is not set"),
        ("MONGODB_URI", "mongodb://user:hunter2@host:port/", "mongodb", "MONGODB_URI is invalid"),
        ("CLIPQUEUE_COLLECTION", "a$b", "mongodb", "'a$b' is not a valid collection name"),
    ],
)
def test_a_missing_or_invalid_setting_is_a_finding(
    own: Stack, setting: str, value: str | None, subject: str, advice: str
) -> None:
    found = run_doctor(own, **{setting: value})
    assert (found.exit_code, found.is_ok[subject]) == (1, False)
    assert advice in found.text[subject]
    assert "hunter2" not in found.text[subject]
    assert found.is_ok["redis" if subject == "mongodb" else "mongodb"]


def test_the_finding_names_the_extra_if_pymongo_is_not_installed(own: Stack, own_broker: redis.Redis) -> None:
    bare = "import sys; sys.modules['pymongo'] = None; from producer.cli.main import main; main()"
    command = [sys.executable, "-c", bare, "doctor", "--json"]
    env = {**os.environ, "REDIS_URL": own.redis_url, "MONGODB_URI": own.mongodb_uri}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    found = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert (done.returncode, found["redis"]["well"], found["mongodb"]["well"]) == (1, True, False)
    assert "extra 'mongo'" in found["mongodb"]["lines"][-1]


def test_eviction_must_be_off(own: Stack, own_broker: redis.Redis, config: dict[str, str]) -> None:
    assert run_doctor(own)["eviction"] == (True, "maxmemory-policy is noeviction")
    own_broker.config_set("maxmemory-policy", "allkeys-lru")
    is_ok, text = run_doctor(own)["eviction"]
    assert not is_ok
    assert "allkeys-lru" in text
    assert "CONFIG SET maxmemory-policy noeviction" in text


def test_snapshots_alone_are_a_problem(own: Stack, own_broker: redis.Redis, config: dict[str, str]) -> None:
    assert run_doctor(own).is_ok["persistence"]
    own_broker.config_set("appendonly", "no")
    own_broker.lpush("other", "job")
    is_ok, text = run_doctor(own)["persistence"]
    assert not is_ok
    assert "changes made since" in text or "1 change made since" in text
    assert "CONFIG SET appendonly yes" in text


def test_memory_is_a_problem_before_it_is_full(own: Stack, own_broker: redis.Redis, config: dict[str, str]) -> None:
    assert "of the machine's memory" in run_doctor(own).text["memory"]
    used: int = own_broker.info("memory")["used_memory"]
    own_broker.config_set("maxmemory", used * 4)
    assert run_doctor(own).is_ok["memory"]
    own_broker.config_set("maxmemory", used * 5 // 4)
    is_ok, text = run_doctor(own)["memory"]
    assert not is_ok
    assert "% of maxmemory: a full Redis refuses new jobs" in text


def test_redis_is_checked_without_the_command_config(own: Stack, own_broker: redis.Redis) -> None:
    """Hosted servers often refuse CONFIG."""
    own_broker.acl_setuser("hosted", enabled=True, nopass=True, keys="*", commands=["+@all", "-config"])
    found = run_doctor(own, REDIS_URL=own.redis_url.replace("redis://", "redis://hosted:x@"))
    own_broker.acl_deluser("hosted")
    assert (found.is_ok["redis"], found.is_ok["eviction"], found.is_ok["persistence"]) == (True, True, True)


INFO = {
    "redis_version": "7.2.4",
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "used_memory": 1 << 20,
    "maxmemory": 1 << 24,
}
LIMITLESS = {"maxmemory": None}


@pytest.mark.parametrize(
    ("info", "subject", "outcome", "text"),
    [
        ({}, "redis", "ok", "Redis 7.2.4 answers at host:1"),
        ({"redis_version": "6.2.0"}, "redis", "ok", "Redis 6.2.0"),
        ({"redis_version": "6.0.16"}, "redis", "fail", "Upgrade it to 6.2"),
        ({"redis_version": "unstable"}, "redis", "ok", "Redis unstable"),
        ({"redis_version": None}, "redis", "unknown", "does not report its version"),
        ({"redis_version": "6.0.16", "valkey_version": "9.1.2"}, "redis", "ok", "Valkey 9.1.2"),
        ({"maxmemory_policy": None}, "eviction", "unknown", "does not report its maxmemory-policy"),
        ({"maxmemory_policy": "volatile-lru"}, "eviction", "fail", "Redis deletes heartbeats and queries when"),
        ({"maxmemory_policy": "allkeys-lru"}, "eviction", "fail", "Redis deletes messages when"),
        ({"aof_last_write_status": "err"}, "persistence", "fail", "the last write to the append-only file failed"),
        ({"rdb_last_bgsave_status": "err"}, "persistence", "fail", "the last snapshot failed"),
        ({"aof_enabled": None}, "persistence", "unknown", "does not report how it saves its data"),
        ({}, "memory", "ok", "1.0 MiB used, 6 % of maxmemory"),
        (LIMITLESS, "memory", "unknown", "this Redis does not report its limit"),
        ({**LIMITLESS, "used_memory": None}, "memory", "unknown", "not reported"),
        ({"used_memory": "much"}, "memory", "unknown", "not reported"),
    ],
)
@pytest.mark.parametrize("may_configure", [True, False])
def test_the_findings_of_other_servers(
    info: dict[str, Any], subject: str, outcome: str, text: str, may_configure: bool
) -> None:
    told = {name: value for name, value in {**INFO, **info}.items() if value is not None}
    findings = {finding.subject: finding for finding in findings_of(told, "host:1", lambda: may_configure)}
    assert findings[subject].outcome == outcome
    assert text in "\n".join(findings[subject].lines)


@pytest.mark.parametrize(("may_configure", "outcome"), [(True, "fail"), (False, "unknown")])
def test_snapshots_alone_are_a_problem_where_they_can_be_changed(may_configure: bool, outcome: str) -> None:
    """A hosted Redis that refuses CONFIG may have copies that INFO does not show."""
    finding = findings_of({**INFO, "aof_enabled": 0}, "host:1", lambda: may_configure)[2]
    assert (finding.subject, finding.outcome) == ("persistence", outcome)
    assert "all changes since its last snapshot" in finding.lines[0]


def test_a_collection_that_does_not_exist_may_be_misnamed_or_new(own: Stack, database: Database[Document]) -> None:
    database["photos"].insert_one({"_id": "photo-1"})
    found = run_doctor(own, CLIPQUEUE_COLLECTION="misnamed")
    assert found.outcome["collection"] == "unknown"
    text = found.text["collection"]
    assert "collection 'misnamed' does not exist in database 'clipqueue'; existing collections: " in text
    assert "photos" in text
    assert run_doctor(own, CLIPQUEUE_COLLECTION="photos")["collection"] == (
        True,
        "collection 'photos' exists in database 'clipqueue'",
    )


@pytest.mark.parametrize(("options", "is_ok"), [("", True), ("w=majority", True), ("w=1", False), ("w=0", False)])
def test_the_write_concern_must_be_a_majority(own: Stack, options: str, is_ok: bool) -> None:
    found = run_doctor(own, MONGODB_URI=f"{own.mongodb_uri}?{options}")
    assert found.is_ok["mongodb"]
    assert found.is_ok["write concern"] is is_ok
    assert ("Put w=majority in MONGODB_URI" in found.text["write concern"]) is not is_ok


def test_the_servers_default_write_concern_applies_if_the_uri_sets_none() -> None:
    assert write_concern_finding({}, {"w": "majority"}).is_ok
    assert write_concern_finding({}, {"w": 1}).outcome == "fail"
    assert write_concern_finding({"w": "majority"}, {"w": 1}).is_ok
    assert write_concern_finding({}, {}).is_ok
    assert write_concern_finding({}, None).outcome == "unknown"
    assert write_concern_finding({"w": 1}, None).outcome == "fail"
    assert write_concern_finding({}, None, is_standalone=True).is_ok


@pytest.mark.parametrize(
    ("hello", "kind"), [({"setName": "rs0"}, "replica set rs0"), ({"msg": "isdbgrid"}, "sharded"), ({}, "standalone")]
)
def test_the_deployment_of_mongodb_is_named(hello: dict[str, str], kind: str) -> None:
    assert deployment_of(hello).startswith(kind)


def test_a_large_collection_needs_the_indexes_of_the_commands(own: Stack, database: Database[Document]) -> None:
    """The doctor names each missing index and the command that makes it; after that command, nothing is missing."""
    database["images"].insert_many([{"_id": f"photo-{number}"} for number in range(10_001)])
    is_ok, text = run_doctor(own)["index"]
    assert not is_ok
    for name, command in (
        ("clipqueue_status", "sweep"),
        ("clipqueue_models", "backfill"),
        ("clipqueue_failed", "failed"),
    ):
        assert any(name in line and command in line for line in text.splitlines())
    assert text.endswith("clipqueue index create")
    made = invoke("index", "create", MONGODB_URI=own.mongodb_uri)
    assert made.returncode == 0
    assert run_doctor(own)["index"] == (True, "those that the commands need exist")


@pytest.mark.parametrize(
    ("count", "lacking", "is_ok"), [(10_000, WANTED, True), (10_001, WANTED, False), (10_001, (), True)]
)
def test_a_small_collection_needs_no_index(count: int, lacking: tuple[Index, ...], is_ok: bool) -> None:
    assert index_finding(count, lacking).is_ok is is_ok


def test_each_check_that_mongodb_refuses_is_a_finding(own: Stack, own_broker: redis.Redis) -> None:
    """The embedded server refuses this name, as a server refuses a user without permission."""
    found = run_doctor(own, CLIPQUEUE_COLLECTION="a-b")
    assert (found.is_ok["mongodb"], found.is_ok["index"], found.is_ok["documents"]) == (True, False, False)
    assert "could not be checked" in found.text["index"]


def test_documents_are_counted_by_status(own: Stack, database: Database[Document]) -> None:
    statuses = ["done"] * 3 + ["failed"] * 2 + ["pending"]
    database["images"].insert_many([{"embedding_job": {"status": status}} for status in statuses])
    database["images"].insert_many([{"url": "http://host/"}, {"embedding_job": "odd"}])
    assert run_doctor(own)["documents"] == (True, "3 done, 2 failed, 1 pending, about 2 without a job")


@pytest.mark.parametrize(
    ("done", "failed", "is_ok"), [(0, 19, True), (0, 20, False), (380, 20, True), (379, 20, False), (10_000, 0, True)]
)
def test_many_failures_are_a_problem(done: int, failed: int, is_ok: bool) -> None:
    finding = count_finding({"done": done, "failed": failed, "pending": 0}, total=0)
    assert finding.is_ok is is_ok
    assert ("clipqueue failed" in "\n".join(finding.lines)) is not is_ok
