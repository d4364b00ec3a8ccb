"""Which errors of Redis make a client drop its connections, in the forms in which redis-py raises them."""

from __future__ import annotations

from typing import Any

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from producer.contract.redis_errors import error_text, is_failover, is_full

READONLY = "READONLY You can't write against a read only replica."
ANSWERS = [
    READONLY,
    f"{READONLY} script: 1b93, on @user_script:1.",
    f"ERR Error running script (call to f_1b93): @user_script:1: @user_script: 1: -{READONLY}",
    f"EXECABORT Transaction discarded because of: {READONLY}",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN The cluster is down",
    "LOADING Valkey is loading the dataset in memory",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "NOREPLICAS Not enough good replicas to write.",
]
OTHERS = [
    "OOM command not allowed when used memory > 'maxmemory'.",
    "MISCONF Valkey is configured to save RDB snapshots, but it is currently unable to persist to disk.",
    "NOPERM User worker has no permissions to run the 'lpush' command",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR Error running script (call to f_1b93): @user_script:1: -OOM command not allowed",
    "ERR unknown command 'READONLY'",
]
untyped: Any = BaseParser


def in_pipeline(error: Exception, command: str) -> Exception:
    return type(error)(f"Command # 1 ({command}) of pipeline caused error: {error.args[0]}")


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_of_a_server_that_is_no_primary_is_a_failover(answer: str) -> None:
    error = untyped.parse_error(answer)
    assert is_failover(error)
    assert is_failover(in_pipeline(error, "LPUSH images x"))


@pytest.mark.parametrize("answer", OTHERS)
def test_an_answer_that_a_new_connection_does_not_mend_is_none(answer: str) -> None:
    error = untyped.parse_error(answer)
    assert not is_failover(error)
    assert not is_failover(in_pipeline(error, f"LPUSH images {READONLY}"))


def test_a_broken_connection_is_none() -> None:
    assert not is_failover(exceptions.ConnectionError("READONLY"))
    assert not is_failover(OSError("READONLY"))


OOM = "OOM command not allowed when used memory > 'maxmemory'."


@pytest.mark.parametrize(
    "answer",
    [
        OOM,
        f"{OOM} script: 1b93, on @user_script:1.",
        f"ERR Error running script (call to f_1b93): @user_script:1: @user_script: 1: -{OOM}",
        f"EXECABORT Transaction discarded because of: {OOM}",
    ],
)
def test_a_full_redis_is_recognized(answer: str) -> None:
    error = untyped.parse_error(answer)
    assert is_full(error)
    assert is_full(in_pipeline(error, "LPUSH images x"))
    assert not is_full(in_pipeline(untyped.parse_error(READONLY), f"LPUSH images {OOM}"))


def test_the_text_of_a_pipelines_error_repeats_no_command() -> None:
    error = in_pipeline(untyped.parse_error(READONLY), "LPUSH images http://host/?signature=hunter2")
    assert error_text(error) == "You can't write against a read only replica."
