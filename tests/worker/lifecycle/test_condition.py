"""What a process says of itself on /livez and /readyz."""

from __future__ import annotations

import pytest

from worker.lifecycle.condition import Condition
from worker.lifecycle.state import ProcessState


@pytest.fixture
def state() -> ProcessState:
    """Of a process that works."""
    state = ProcessState(40)
    state.redis.note()
    state.mongo.note()
    state.condition.note("")
    return state


def test_a_process_that_works_is_live_and_ready(state: ProcessState) -> None:
    assert (state.condition.live(), state.condition.ready()) == ("", "")


def test_a_process_that_loads_its_model_is_live_however_long_that_takes() -> None:
    condition = ProcessState(40).condition
    assert (condition.live(), condition.ready()) == ("", "the model is loading")


def test_what_the_watchdog_found_counts_for_both(state: ProcessState) -> None:
    state.condition.note("the model hangs")
    assert (state.condition.live(), state.condition.ready()) == ("the model hangs", "the model hangs")


def test_a_watchdog_that_has_stopped_is_a_problem(state: ProcessState) -> None:
    state.condition._watchdog._at -= 31
    assert state.condition.live() == "the process hangs: its watchdog has shown no sign of life for 31 s"


@pytest.mark.parametrize("server", ["redis", "mongo"])
def test_without_a_server_a_process_is_live_and_not_ready(server: str, state: ProcessState) -> None:
    getattr(state, server)._at -= 16
    name = {"redis": "Redis", "mongo": "MongoDB"}[server]
    assert (state.condition.live(), state.condition.ready()) == ("", f"{name} has not answered for 16 s")
    getattr(state, server)._at = float("-inf")
    assert state.condition.ready() == f"{name} has not answered yet"
    getattr(state, server).note()
    assert state.condition.ready() == ""


def test_a_drain_and_an_outage_are_no_reason_for_a_restart(state: ProcessState) -> None:
    state.outage.start()
    assert (state.condition.live(), state.condition.ready()) == ("", "MongoDB is unavailable; the worker waits for it")
    state.outage.end()
    state.drain.start()
    assert (state.condition.live(), state.condition.ready()) == ("", "the worker was told to stop")


def test_a_process_that_answers_queries_only_needs_no_mongodb(state: ProcessState) -> None:
    condition = Condition(state.drain, state.outage, state.redis, ProcessState(40).mongo, needs_mongo=False)
    condition.note("")
    assert condition.ready() == ""
