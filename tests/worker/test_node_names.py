"""Several workers on one host: each has a name of its own, on Redis and in Celery. test_flower.py looks at Flower."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from producer.client.workers import read_workers
from tests.support.doctor import run_doctor
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, worker_command
from worker.lifecycle.node_name import unique_node_name

if TYPE_CHECKING:
    import subprocess

    import redis

    from producer.local.stack import Stack

OWN_NAME = re.compile(rf"clipqueue-[0-9a-f]{{8}}@{re.escape(socket.gethostname())}")


def start(stack: Stack, log: str, name: str = "", **env: str) -> subprocess.Popen[bytes]:
    return stack.start(log, worker_command(name), env={**stack.environment(), **FAKE_MODEL, **env})


def heartbeats(broker: redis.Redis) -> list[str]:
    """Return the node name of each heartbeat on Redis."""
    return sorted(heartbeat["node"] for heartbeat in read_workers(broker).heartbeats)


def answering(stack: Stack) -> list[str]:
    """Return the node name of each answer to Celery's ping."""
    answers = Celery(broker=stack.redis_url, set_as_current=False).control.ping(timeout=1.0)
    return sorted(name for answer in answers for name in answer)


def test_the_doctor_sees_each_of_several_workers(own: Stack, own_broker: redis.Redis) -> None:
    first, second = start(own, "first"), start(own, "second")
    names = wait_for(lambda: found if len(found := heartbeats(own_broker)) == 2 else None, "two heartbeats")
    assert len(set(names)) == 2
    assert all(OWN_NAME.fullmatch(name) for name in names)
    wait_for(lambda: answering(own) == names, "both to answer")
    assert run_doctor(own).text["workers"].startswith("2 workers alive:")
    own.stop_one(first)
    (left,) = heartbeats(own_broker)
    is_ok, text = run_doctor(own)["workers"]
    assert is_ok
    assert text.startswith("1 worker alive:")
    assert left in text
    own.stop_one(second)


@pytest.mark.parametrize("by", ["-n", "CELERY_WORKER_HOSTNAME"])
def test_the_name_that_an_operator_gives_is_kept_and_two_with_one_name_are_named(
    by: str, own: Stack, own_broker: redis.Redis
) -> None:
    """Even Celery's own default name, if it is given."""
    node = f"celery@{socket.gethostname()}"
    name, env = ("celery", {}) if by == "-n" else ("", {"CELERY_WORKER_HOSTNAME": "celery@%h"})
    workers = [start(own, f"named-{number}", name, **env) for number in range(2)]
    wait_for(lambda: heartbeats(own_broker) == [node, node], "two heartbeats")
    # A worker that is stopped before Celery has set up its signals leaves its heartbeat behind until that expires.
    wait_for(lambda: answering(own) == [node, node], "both to answer")
    is_ok, text = run_doctor(own)["node names"]
    assert not is_ok
    assert f"2 workers are called {node}" in text
    own.stop_one(workers[0])
    assert run_doctor(own).text["workers"].startswith("1 worker alive:")
    assert "node names" not in run_doctor(own).is_ok
    own.stop_one(workers[1])
    assert heartbeats(own_broker) == []


def test_a_worker_that_no_command_line_starts_gets_a_name_too() -> None:
    default = f"celery@{socket.gethostname()}"
    names = {unique_node_name(default) for _ in range(50)}
    assert len(names) == 50
    assert all(OWN_NAME.fullmatch(name) for name in names)
    assert unique_node_name("mine@host") == "mine@host"
