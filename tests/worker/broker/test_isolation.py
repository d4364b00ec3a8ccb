"""Jobs run beside each other, or one alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import wait_for
from worker.broker import isolation as isolation_module
from worker.broker.isolation import Isolation
from worker.errors import IsolationBusy, WorkerStopping
from worker.lifecycle.drain import Drain
from worker.lifecycle.state import ProcessState

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS = 8


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * JOBS) as pool:
        yield pool


def go_on() -> None:
    """No job is told to stop waiting."""


def test_jobs_run_beside_each_other(pool: ThreadPoolExecutor) -> None:
    isolation, together = Isolation(), threading.Barrier(JOBS, timeout=60)

    def run(_: int) -> None:
        with isolation.beside_others(go_on):
            together.wait()

    list(pool.map(run, range(JOBS)))
    assert not isolation.is_wanted


def test_a_job_runs_alone_after_those_that_run_and_before_those_that_wait(pool: ThreadPoolExecutor) -> None:
    isolation, may_end, order = Isolation(), threading.Event(), list[str]()

    def run(name: str) -> None:
        with isolation.alone(go_on) if name.startswith("alone") else isolation.beside_others(go_on):
            order.append(f"{name} starts")
            if name == "first":
                may_end.wait(60)
            order.append(f"{name} ends")

    first = pool.submit(run, "first")
    wait_for(lambda: order, "the first job to start")
    alone = [pool.submit(run, f"alone {number}") for number in range(JOBS)]
    wait_for(lambda: isolation.is_wanted, "a job to want to be alone")
    later = pool.submit(run, "later")
    assert not later.done()
    assert len(order) == 1
    may_end.set()
    wait([first, later, *alone], timeout=60)
    assert order[:2] == ["first starts", "first ends"]
    assert order[-2:] == ["later starts", "later ends"]
    for start, end in zip(order[::2], order[1::2], strict=True):
        assert start.replace("starts", "ends") == end, "nothing else starts in between"


def test_a_job_that_fails_alone_lets_others_start(pool: ThreadPoolExecutor) -> None:
    isolation = Isolation()
    with pytest.raises(ZeroDivisionError), isolation.alone(go_on):
        raise ZeroDivisionError
    with isolation.beside_others(go_on):
        assert not isolation.is_wanted


def test_a_drain_ends_the_wait(pool: ThreadPoolExecutor) -> None:
    isolation, drain = Isolation(), Drain(60)
    drain.start()
    with isolation.beside_others(go_on), pytest.raises(WorkerStopping):
        pool.submit(isolation.alone(drain.raise_if_draining).__enter__).result(60)
    assert not isolation.is_wanted
    with isolation.alone(go_on), pytest.raises(WorkerStopping):
        pool.submit(isolation.beside_others(drain.raise_if_draining).__enter__).result(60)


def test_consumption_is_paused_while_a_job_runs_alone() -> None:
    state = ProcessState(1.0)
    with state.isolation.alone(go_on):
        assert state.is_paused()
    assert not state.is_paused()


def test_a_job_that_hangs_does_not_stop_the_worker_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation_module, "_CHECK_INTERVAL_S", 0.001)
    isolation = Isolation()
    with isolation.beside_others(go_on), pytest.raises(IsolationBusy), isolation.alone(go_on):
        pytest.fail("the other job still runs")
    assert not isolation.is_wanted
