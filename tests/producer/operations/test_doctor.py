"""`clipqueue doctor` on servers as they should be and on those that are not; its workers and queue have a file each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from producer.operations.doctor.documents import count_finding, index_finding
from producer.operations.doctor.mongo import kind_of, write_concern_finding
from producer.operations.doctor.redis import server_findings
from tests.support.commands import run
from tests.support.doctor import examine, leave_note

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis
    from pymongo.database import Database

    from producer.local.stack import Stack

Document = dict[str, Any]
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def database(own: Stack) -> Iterator[Database[Document]]:
    with pymongo.MongoClient[Document](own.mongodb_uri) as client:
        database = client["clipqueue"]
        yield database
        for name in database.list_collection_names():
            database.drop_collection(name)


@pytest.fixture
def config(own_broker: redis.Redis) -> Iterator[dict[str, str]]:
    """What is put into it is set on Redis by `apply`, and put back at the end."""
    names = ("maxmemory", "maxmemory-policy", "appendonly")
    before = {name: str(own_broker.config_get(name)[name]) for name in names}
    yield before
    for name, value in before.items():
        own_broker.config_set(name, value)


def test_when_all_is_well_it_says_so_line_by_line_and_exits_with_0(
    own: Stack, own_broker: redis.Redis, database: Database[Document]
) -> None:
    leave_note(own_broker, "celery@here")
    database["images"].insert_one({"_id": "photo-1", "embedding_job": {"status": "done"}})
    env = {"REDIS_URL": own.redis_url, "MONGODB_URI": own.mongodb_uri}
    done = run("doctor", **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if not line.startswith(("ok    ", "        "))] == []
    assert "ok    redis: Valkey " in done.stdout
    as_json = run("doctor", "--json", **env)
    assert as_json.returncode == 0
    assert {tuple(finding) for finding in json.loads(as_json.stdout)} == {("subject", "well", "lines")}


def test_servers_that_are_away_are_findings_without_passwords(own: Stack, own_broker: redis.Redis) -> None:
    without_redis = examine(own, REDIS_URL=f"redis://:hunter2@{NOWHERE}/0")
    assert without_redis.exit_code == 1
    assert without_redis.well["redis"] is False
    assert NOWHERE in without_redis.text["redis"]
    assert without_redis.well["mongodb"]
    without_mongodb = examine(own, MONGODB_URI=f"mongodb://user:hunter2@{NOWHERE}/")
    assert without_mongodb.exit_code == 1
    assert without_mongodb.well["mongodb"] is False
    assert NOWHERE in without_mongodb.text["mongodb"]
    assert without_mongodb.well["redis"]
    assert "hunter2" not in str((without_redis.text, without_mongodb.text))


@pytest.mark.parametrize(
    ("setting", "value", "subject", "advice"),
    [
        ("REDIS_URL", None, "redis", "REDIS_URL is not set"),
        ("REDIS_URL", "redis://:hunter2@host:port/", "redis", "REDIS_URL cannot be read"),
        ("MONGODB_URI", None, "mongodb", "MONGODB_URI is not set"),
        ("MONGODB_URI", "mongodb://user:hunter2@host:port/", "mongodb", "MONGODB_URI cannot be read"),
        ("CLIPQUEUE_COLLECTION", "a$b", "mongodb", "CLIPQUEUE_COLLECTION=a$b is not a valid name"),
    ],
)
def test_a_setting_that_is_missing_or_cannot_be_used_is_a_finding(
    own: Stack, setting: str, value: str | None, subject: str, advice: str
) -> None:
    found = examine(own, **{setting: value})
    assert (found.exit_code, found.well[subject]) == (1, False)
    assert advice in found.text[subject]
    assert "hunter2" not in found.text[subject]
    assert found.well["redis" if subject == "mongodb" else "mongodb"]


def test_without_the_extra_for_mongodb_the_finding_names_it(own: Stack, own_broker: redis.Redis) -> None:
    bare = "import sys; sys.modules['pymongo'] = None; from producer.cli.main import main; main()"
    command = [sys.executable, "-c", bare, "doctor", "--json"]
    env = {**os.environ, "REDIS_URL": own.redis_url, "MONGODB_URI": own.mongodb_uri}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    found = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert (done.returncode, found["redis"]["well"], found["mongodb"]["well"]) == (1, True, False)
    assert "extra 'mongo'" in found["mongodb"]["lines"][-1]


def test_eviction_must_be_off(own: Stack, own_broker: redis.Redis, config: dict[str, str]) -> None:
    assert examine(own)["eviction"] == (True, "maxmemory-policy is noeviction")
    own_broker.config_set("maxmemory-policy", "allkeys-lru")
    is_well, text = examine(own)["eviction"]
    assert not is_well
    assert "allkeys-lru" in text
    assert "CONFIG SET maxmemory-policy noeviction" in text


def test_persistence_must_be_more_than_snapshots(own: Stack, own_broker: redis.Redis, config: dict[str, str]) -> None:
    assert examine(own).well["persistence"]
    own_broker.config_set("appendonly", "no")
    own_broker.lpush("other", "job")
    is_well, text = examine(own)["persistence"]
    assert not is_well
    assert "changes made since" in text or "1 change made since" in text
    assert "CONFIG SET appendonly yes" in text


def test_memory_is_looked_at_before_it_is_full(own: Stack, own_broker: redis.Redis, config: dict[str, str]) -> None:
    assert "of the machine's memory" in examine(own).text["memory"]
    used: int = own_broker.info("memory")["used_memory"]
    own_broker.config_set("maxmemory", used * 4)
    assert examine(own).well["memory"]
    own_broker.config_set("maxmemory", used * 5 // 4)
    is_well, text = examine(own)["memory"]
    assert not is_well
    assert "% of maxmemory: a full Redis refuses new jobs" in text


def test_a_redis_that_forbids_config_is_examined_all_the_same(own: Stack, own_broker: redis.Redis) -> None:
    """As hosted ones do."""
    own_broker.acl_setuser("hosted", enabled=True, nopass=True, keys="*", commands=["+@all", "-config"])
    found = examine(own, REDIS_URL=own.redis_url.replace("redis://", "redis://hosted:x@"))
    own_broker.acl_deluser("hosted")
    assert (found.well["redis"], found.well["eviction"], found.well["persistence"]) == (True, True, True)


SOUND = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "aof_enabled": 1, "used_memory": 1 << 20}


@pytest.mark.parametrize(
    ("answers", "subject", "is_well", "text"),
    [
        ({}, "redis", True, "Redis 7.2.4 answers at host:1"),
        ({"redis_version": "6.2.0"}, "redis", True, "Redis 6.2.0"),
        ({"redis_version": "6.0.16"}, "redis", False, "Upgrade it to 6.2"),
        ({"redis_version": "unstable"}, "redis", True, "Redis unstable"),
        ({"redis_version": "6.0.16", "valkey_version": "9.1.2"}, "redis", True, "Valkey 9.1.2"),
        ({"maxmemory_policy": None}, "eviction", False, "does not say"),
        ({"aof_last_write_status": "err"}, "persistence", False, "the last write to the append-only file failed"),
        ({"rdb_last_bgsave_status": "err"}, "persistence", False, "the last snapshot failed"),
        ({"aof_enabled": 0}, "persistence", False, "what was written since its last snapshot"),
        ({}, "memory", True, "this Redis does not say"),
    ],
)
def test_what_other_servers_answer(answers: dict[str, Any], subject: str, is_well: bool, text: str) -> None:
    findings = {finding.subject: finding for finding in server_findings({**SOUND, **answers}, "host:1")}
    assert findings[subject].is_well is is_well
    assert text in "\n".join(findings[subject].lines)


def test_the_collection_must_be_there(own: Stack, database: Database[Document]) -> None:
    database["photos"].insert_one({"_id": "photo-1"})
    is_well, text = examine(own, CLIPQUEUE_COLLECTION="misnamed")["collection"]
    assert not is_well
    assert "there is no 'misnamed' in database 'clipqueue', which has " in text
    assert "photos" in text
    assert examine(own, CLIPQUEUE_COLLECTION="photos")["collection"] == (
        True,
        "there is 'photos' in database 'clipqueue'",
    )


@pytest.mark.parametrize(("options", "is_well"), [("", True), ("w=majority", True), ("w=1", False), ("w=0", False)])
def test_the_write_concern_must_be_more_than_one_server(own: Stack, options: str, is_well: bool) -> None:
    found = examine(own, MONGODB_URI=f"{own.mongodb_uri}?{options}")
    assert found.well["mongodb"]
    assert found.well["write concern"] is is_well
    assert ("Put w=majority in MONGODB_URI" in found.text["write concern"]) is not is_well


def test_the_servers_default_write_concern_counts_where_the_uri_asks_for_none() -> None:
    assert write_concern_finding({}, {"w": "majority"}).is_well
    assert not write_concern_finding({}, {"w": 1}).is_well
    assert write_concern_finding({"w": "majority"}, {"w": 1}).is_well


@pytest.mark.parametrize(
    ("hello", "kind"), [({"setName": "rs0"}, "replica set rs0"), ({"msg": "isdbgrid"}, "sharded"), ({}, "standalone")]
)
def test_the_kind_of_mongodb_is_named(hello: dict[str, str], kind: str) -> None:
    assert kind_of(hello).startswith(kind)


def test_a_large_collection_needs_an_index_on_the_status(own: Stack, database: Database[Document]) -> None:
    database["images"].insert_many([{"_id": number} for number in range(10_001)])
    is_well, text = examine(own)["index"]
    assert not is_well
    assert "db.getCollection('images').createIndex({'embedding_job.status': 1})" in text
    database["images"].create_index("embedding_job.status")
    assert examine(own)["index"] == (True, "there is one on embedding_job.status")


STATUS = ("embedding_job.status", 1)


@pytest.mark.parametrize(
    ("count", "index", "is_well"),
    [
        (10_000, {"key": [("_id", 1)]}, True),
        (10_001, {"key": [("_id", 1)]}, False),
        (10_001, {"key": [STATUS, ("_id", 1)]}, True),
        (10_001, {"key": [("_id", 1), STATUS]}, False),
        (10_001, {"key": [STATUS], "sparse": True}, False),
        (10_001, {"key": [STATUS], "partialFilterExpression": {"url": {"$exists": True}}}, False),
    ],
)
def test_an_index_must_serve_whoever_looks_for_any_status(count: int, index: Document, is_well: bool) -> None:
    assert index_finding("images", count, [index]).is_well is is_well


def test_what_mongodb_refuses_to_show_is_a_finding_of_its_own(own: Stack, own_broker: redis.Redis) -> None:
    """The embedded server refuses this name, as another would a user without the right."""
    found = examine(own, CLIPQUEUE_COLLECTION="a-b")
    assert (found.well["mongodb"], found.well["index"], found.well["documents"]) == (True, False, False)
    assert "could not be looked at" in found.text["index"]


def test_documents_are_counted_by_status(own: Stack, database: Database[Document]) -> None:
    statuses = ["done"] * 3 + ["failed"] * 2 + ["pending"]
    database["images"].insert_many([{"embedding_job": {"status": status}} for status in statuses])
    database["images"].insert_many([{"url": "http://host/"}, {"embedding_job": "odd"}])
    assert examine(own)["documents"] == (True, "3 done, 2 failed, 1 pending, about 2 without a job")


@pytest.mark.parametrize(
    ("done", "failed", "is_well"), [(0, 19, True), (0, 20, False), (380, 20, True), (379, 20, False), (10_000, 0, True)]
)
def test_many_failures_are_looked_at(done: int, failed: int, is_well: bool) -> None:
    finding = count_finding({"done": done, "failed": failed, "pending": 0}, total=0)
    assert finding.is_well is is_well
    assert ("clipqueue failed" in "\n".join(finding.lines)) is not is_well
