"""The watchdog writes the health file whatever Redis does, and notices an event loop that hangs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.errors import BrokerUnavailable
from tests.support.waiting import wait_for
from worker.lifecycle.loop import EventLoop
from worker.lifecycle.watchdog import _MAX_SILENT_BEATS, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Beats:
    """Stands for the heartbeat, the batcher and the health file; notes what it is told."""

    is_broken = False
    running_calls: frozenset[int] = frozenset()

    def __init__(self, answer: Callable[[], None]) -> None:
        self.answer = answer
        self.problems: list[str] = []
        self.count = 0
        self.extends = True

    def beat(self, problem: str | None = None, *, extend: bool = True) -> None:
        if problem is None:
            self.count += 1
            self.extends = extend
            self.answer()
        else:
            self.problems.append(problem)

    def close(self) -> None:
        pass


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], None], EventLoop], Beats]]:
    """A function that starts a watchdog whose ticks take no time."""
    monkeypatch.setattr("worker.lifecycle.watchdog._TICK_S", 0.001)
    watchdogs = []

    def start(answer: Callable[[], None], loop: EventLoop) -> Beats:
        parts: Any = Beats(answer)
        watchdogs.append(Watchdog(parts, [parts], parts, loop, hang_s=60, on_exit=parts.close))
        watchdogs[-1].start()
        return parts  # type: ignore[no-any-return]

    yield start
    for watchdog in watchdogs:
        watchdog.close()


def test_a_redis_that_does_not_answer_does_not_delay_the_health_file(make: Callable[..., Beats]) -> None:
    gate = threading.Event()
    parts = make(gate.wait, EventLoop())
    wait_for(lambda: parts.count == 1 and len(parts.problems) > 50, "the health file to be written again and again")
    assert parts.count == 1, "the heartbeat still waits"
    assert set(parts.problems) == {""}
    gate.set()


def test_an_event_loop_that_hangs_is_a_problem_until_it_turns(make: Callable[..., Beats]) -> None:
    loop = EventLoop()
    loop.is_running = True
    parts = make(lambda: None, loop)
    wait_for(lambda: "Celery's event loop hangs" in parts.problems[-1:][0], "the problem to be noticed")
    assert parts.count >= _MAX_SILENT_BEATS
    wait_for(lambda: not parts.extends, "its jobs to be left to other workers")
    parts.answer = loop.tick
    wait_for(lambda: not parts.problems[-1], "the problem to be over")


@pytest.mark.parametrize("reason", ["it turns", "no connection", "no Redis"])
def test_an_event_loop_that_turns_or_has_a_reason_to_wait_is_no_problem(
    reason: str, make: Callable[..., Beats]
) -> None:
    loop = EventLoop()
    loop.is_running = reason != "no connection"

    def answer() -> None:
        if reason == "it turns":
            loop.tick()
        if reason == "no Redis" and parts.count % (_MAX_SILENT_BEATS - 1) == 0:
            raise BrokerUnavailable("Redis did not answer")

    parts = make(answer, loop)
    wait_for(lambda: parts.count > 3 * _MAX_SILENT_BEATS, "more beats than a loop may be silent")
    assert set(parts.problems) == {""}
