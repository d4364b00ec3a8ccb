"""The watchdog writes the health file whatever Redis does, and ends the process if a part of it is lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.errors import BrokerUnavailable
from tests.support.waiting import wait_for
from worker.lifecycle import watchdog as watchdogs
from worker.lifecycle.state import ProcessState
from worker.lifecycle.stillness import Part
from worker.lifecycle.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

TICK_S = 0.002


class Told:
    """Stands for the heartbeat, the health file and the end of the process; notes what it is told."""

    def __init__(self, answer: Callable[[], object] = lambda: None) -> None:
        self.answer = answer
        self.state = ProcessState(40)
        self.problems: list[str] = []
        self.beats = 0
        self.extends = True
        self.end: tuple[int, str] | None = None

    def beat(self, problem: str | None = None, *, extend: bool = True) -> None:
        if problem is None:
            self.beats += 1
            self.extends = extend
            self.answer()
        else:
            self.problems.append(problem)

    def close(self) -> None:
        pass

    def end_process(self, code: int, reason: str, on_exit: Callable[[], object]) -> None:
        self.end = self.end or (code, reason)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Told]]:
    """A function that starts a watchdog whose ticks take no time, and does not end this process."""
    monkeypatch.setattr(watchdogs, "_TICK_S", TICK_S)
    running = []

    def start(told: Told, *parts: Part) -> Told:
        monkeypatch.setattr(watchdogs, "end_process", told.end_process)
        parts_of_told: Any = told
        watchdog = Watchdog(
            parts_of_told,
            parts,
            parts_of_told,
            told.state.condition,
            told.state.redis,
            describe_jobs=lambda: "its jobs are fine",
            on_exit=told.close,
        )
        watchdog.start()
        running.append(watchdog)
        return told

    yield start
    for watchdog in running:
        watchdog.close()


def test_a_redis_that_does_not_answer_delays_neither_the_health_file_nor_is_it_a_problem(
    start: Callable[..., Told],
) -> None:
    gate = threading.Event()
    told = start(Told(gate.wait))
    wait_for(lambda: told.beats == 1 and len(told.problems) > 50, "the health file to be written again and again")
    assert told.beats == 1, "the heartbeat still waits"
    assert set(told.problems) == {""}
    assert told.state.condition.live() == ""
    gate.set()


def test_what_stands_still_turns_the_health_red_until_it_moves(start: Callable[..., Told]) -> None:
    standing: list[Hashable] = ["here"]
    told = start(Told(), Part("it has not turned", lambda: standing, 20 * TICK_S, 1e9))
    wait_for(lambda: told.problems[-1:] and told.problems[-1].startswith("it has not turned for"), "the problem")
    wait_for(lambda: not told.extends, "its jobs to be left to other workers")
    assert told.state.condition.live().startswith("it has not turned for")
    assert told.state.condition.ready().startswith("it has not turned for")
    standing.clear()
    wait_for(lambda: not told.problems[-1] and told.extends, "the problem to be over")
    assert told.state.condition.live() == ""
    assert told.end is None


def test_what_stands_still_for_too_long_ends_the_process(start: Callable[..., Told]) -> None:
    told = start(Told(), Part("it has not turned", lambda: [1], 0, 10 * TICK_S, advice="buy memory"))
    code, reason = wait_for(lambda: told.end, "the end")
    assert code == 70
    assert reason.startswith("it has not turned for ")
    assert reason.endswith("; exiting with code 70: its jobs are fine; buy memory")


def test_a_heartbeat_that_hangs_is_a_problem_only_while_redis_answers_others(
    start: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdogs, "RED_S", 20 * TICK_S)
    monkeypatch.setattr(watchdogs, "_HEARTBEAT_END_S", 1e9)
    gate = threading.Event()
    told = start(Told(gate.wait))
    wait_for(lambda: len(told.problems) > 100, "many ticks")
    assert set(told.problems) == {""}
    told.state.redis.note()
    wait_for(lambda: told.problems[-1].startswith("the heartbeat hangs"), "the problem")
    gate.set()


def test_a_heartbeat_without_redis_beats_on(start: Callable[..., Told]) -> None:
    def fail() -> None:
        raise BrokerUnavailable("Redis did not answer")

    told = start(Told(fail))
    told.state.redis.note()
    wait_for(lambda: told.beats > 50, "many beats")
    assert told.end is None


def test_the_heartbeat_ends_a_process_whose_watchdog_hangs(
    start: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdogs, "RED_S", 10 * TICK_S)
    monkeypatch.setattr(watchdogs, "END_S", 20 * TICK_S)
    gate = threading.Event()

    def hang() -> list[Hashable]:
        gate.wait()
        return []

    told = start(Told(), Part("it hangs", hang, 0, 0))
    assert wait_for(lambda: told.end, "the end")[1].startswith("the watchdog hangs: it has not looked for")
    gate.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_watchdog_ends_a_process_whose_heartbeat_is_dead(
    start: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdogs, "_DEAD_S", (0.0, 5 * TICK_S))

    def end_thread() -> None:
        raise SystemExit

    told = start(Told(end_thread))
    assert wait_for(lambda: told.end, "the end")[1].startswith("the heartbeat's thread has been dead")
