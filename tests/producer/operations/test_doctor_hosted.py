"""`clipqueue doctor` on servers that tell a user only a part: hosted ones, and those with access rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from producer.contract.names import ENDED, NOTIFY_LOCK
from tests.support.commands import invoke
from tests.support.doctor import run_doctor, write_heartbeat
from tests.support.mongo_proxy import MongoProxy, error_answer, refusing

if TYPE_CHECKING:
    import redis

    from producer.local.stack import Stack

ON_REDIS = {"redis", "eviction", "persistence", "memory"}
ON_WORKERS = {"workers", "model", "precision", "settings", "workers' MongoDB"}


def as_user(stack: Stack, broker: redis.Redis, *commands: str, keys: str = "*") -> str:
    """Return the URL of a user with these permissions."""
    broker.acl_setuser(
        "hosted", enabled=True, reset=True, passwords=["+secret-1"], keys=[keys], commands=["+@all", *commands]
    )
    return stack.redis_url.replace("redis://", "redis://hosted:secret-1@")


def test_a_hosted_redis_without_administrative_commands_and_an_empty_mongodb_are_green(
    own: Stack, own_broker: redis.Redis
) -> None:
    """INFO and CONFIG are `@dangerous`, which providers refuse."""
    write_heartbeat(own_broker, "celery@here")
    url = as_user(own, own_broker, "-@admin", "-@dangerous", "-client|setinfo")
    done = invoke("doctor", REDIS_URL=url, MONGODB_URI=own.mongodb_uri)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("        ")]
    unknown = {line.partition(": ")[0].split()[-1] for line in lines if line.startswith("?")}
    assert unknown == ON_REDIS
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert "may not" not in done.stdout
    assert "the first job creates it" in done.stdout
    assert "secret-1" not in done.stdout


@pytest.mark.parametrize(
    ("refused", "unknown"),
    [
        ("info", ON_REDIS),
        ("config", set()),
        ("client", set()),
        ("ping", set()),
        ("time", {"clocks"}),
        ("zrange", {"workers", "in flight", "delayed"}),
        ("zcard", {"delayed"}),
        ("mget", {"workers", "webhooks"}),
        ("llen", {"queue", "parked"}),
        ("lindex", {"queue"}),
        ("lrange", {"queue"}),
        ("hlen", {"queue", "in flight"}),
        ("get", {"parking space"}),
        ("xlen", {"webhooks"}),
    ],
)
def test_a_refused_command_spoils_only_its_own_lines(
    refused: str, unknown: set[str], own: Stack, own_broker: redis.Redis
) -> None:
    write_heartbeat(own_broker, "celery@here")
    own_broker.xadd(ENDED, {"event": "x"})
    own_broker.set(NOTIFY_LOCK, "somebody sends")
    everything = run_doctor(own).outcome
    found = run_doctor(own, REDIS_URL=as_user(own, own_broker, f"-{refused}"))
    assert found.exit_code == 0
    assert {subject for subject, outcome in found.outcome.items() if outcome == "unknown"} == unknown
    gone = (ON_WORKERS - {"workers"}) if "workers" in unknown else set()
    assert set(found.outcome) == set(everything) - gone
    for subject in unknown - {"clocks"}:
        assert "its access rules forbid this" in found.text[subject]


def test_a_user_who_may_do_nothing_is_a_failure(own: Stack, own_broker: redis.Redis) -> None:
    found = run_doctor(own, REDIS_URL=as_user(own, own_broker, "-@all"))
    assert (found.exit_code, found.outcome["redis"]) == (1, "fail")
    assert "refuses INFO and the queue" in found.text["redis"]


def test_a_key_of_another_type_is_a_failure(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@here")
    own_broker.set("unacked_index", "not ours")
    found = run_doctor(own)
    assert [subject for subject, outcome in found.outcome.items() if outcome != "ok"] == ["in flight"]
    assert "another program uses the same key" in found.text["in flight"]
    assert found.exit_code == 1


UNAUTHORIZED = error_answer(13, "Unauthorized", "not authorized on clipqueue to execute command { secret: 1 }")


@pytest.mark.parametrize(
    ("refused", "unknown"),
    [
        ("buildInfo", set()),
        ("getDefaultRWConcern", set()),  # this MongoDB is a standalone server
        ("listCollections", {"collection"}),
        ("listIndexes", {"index"}),
        ("aggregate", {"documents"}),
    ],
)
def test_a_command_that_mongodb_refuses_spoils_only_its_own_line(
    refused: str, unknown: set[str], own: Stack, own_broker: redis.Redis
) -> None:
    write_heartbeat(own_broker, "celery@here")
    with refusing(own.mongodb_uri, {refused: UNAUTHORIZED}) as proxy:
        found = run_doctor(own, MONGODB_URI=proxy.uri)
    assert {subject for subject, outcome in found.outcome.items() if outcome != "ok"} == unknown
    assert found.exit_code == 0
    assert "secret" not in str(found.text)


@pytest.mark.parametrize(
    ("code", "outcome"), [(13, "unknown"), (59, "unknown"), (115, "unknown"), (8000, "unknown"), (96, "fail")]
)
def test_what_a_kind_of_server_refuses_is_unknown_and_other_errors_are_failures(
    code: int, outcome: str, own: Stack
) -> None:
    """59 and 115: it lacks the command. 8000: Atlas' own error. 96: the command has failed."""
    with refusing(own.mongodb_uri, {"listIndexes": error_answer(code, "Name", "text")}) as proxy:
        assert run_doctor(own, MONGODB_URI=proxy.uri).outcome["index"] == outcome


def test_the_collections_that_a_user_may_use_are_asked_for_and_a_cluster_is_no_standalone_server(own: Stack) -> None:
    """A user without the permission to list all collections may ask for its own. A cluster says isdbgrid."""
    parts = urlsplit(own.mongodb_uri)

    def answer(command: dict[str, Any]) -> dict[str, Any] | None:
        name = next(iter(command))
        if name == "listCollections" and not (command.get("authorizedCollections") and command.get("nameOnly")):
            return UNAUTHORIZED
        if name == "hello":
            limits = {"maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 1000}
            return {"ok": 1.0, "msg": "isdbgrid", "minWireVersion": 0, "maxWireVersion": 21, **limits}
        return UNAUTHORIZED if name == "getDefaultRWConcern" else None

    with MongoProxy((str(parts.hostname), int(parts.port or 0)), answer) as proxy:
        found = run_doctor(own, MONGODB_URI=proxy.uri)
    assert found.outcome["collection"] == "ok"
    assert "sharded cluster" in found.text["mongodb"]
    assert found.outcome["write concern"] == "unknown"


def test_a_mongodb_that_refuses_the_login_is_a_failure(own: Stack, own_broker: redis.Redis) -> None:
    write_heartbeat(own_broker, "celery@here")
    refusal = error_answer(18, "AuthenticationFailed", "bad auth")
    with refusing(own.mongodb_uri, {"*": refusal}) as proxy:
        found = run_doctor(own, MONGODB_URI=proxy.uri)
    assert (found.exit_code, found.outcome["mongodb"]) == (1, "fail")
    assert found.outcome["redis"] == "ok"
