"""A store that is away is waited for; one that answers and refuses holds no thread for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from producer.contract.job import ImageJob
from tests.support.waiting import wait_for
from worker.errors import HttpRefused, StoreRefused, StoreUnavailable
from worker.lifecycle.drain import Drain
from worker.store.outage import ResilientStore
from worker.store.results import Failure, JobCheck

if TYPE_CHECKING:
    from worker.store.results import Result

JOB = ImageJob("photo-1", "http://host/a.jpg", 1)
FAILURE = Failure("photo-1", None, 1, 1, HttpRefused(404, "gone"))


class MovedStore:
    """A store whose server the test moves away, and makes refuse."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self.calls = 0

    def ping(self) -> None:
        if not self.is_there.is_set():
            raise StoreUnavailable("not there")

    def check(self, job: ImageJob, model: str) -> JobCheck:
        self.calls += 1
        self.ping()
        return JobCheck("needed", None)

    def save(self, job: ImageJob, result: Result, attempts: int, check: JobCheck) -> None:
        raise StoreRefused("a validator")

    def save_failure(self, failure: Failure) -> None:
        self.calls += 1
        raise StoreUnavailable("the disk is full")

    def close(self) -> None:
        pass


@pytest.fixture
def store() -> MovedStore:
    return MovedStore()


@pytest.fixture
def drain() -> Drain:
    return Drain(60.0)


def test_calls_wait_until_it_is_back_and_it_says_so_once(
    store: MovedStore, drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    patient = ResilientStore(store, drain)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(patient.check, JOB, "m") for _ in range(8)]
        wait_for(lambda: store.calls == 8 and patient.is_away, "all to have asked once")
        assert not any(one.done() for one in waiting)
        store.is_there.set()
        assert {one.result().verdict for one in waiting} == {"needed"}
    assert not patient.is_away
    assert store.calls == 16
    assert caplog.text.count("no message is taken") == 1
    assert caplog.text.count("answers again") == 1


def test_a_worker_that_stops_waits_no_longer(store: MovedStore, drain: Drain) -> None:
    patient = ResilientStore(store, drain)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(patient.check, JOB, "m")
        wait_for(lambda: patient.is_away, "the absence to be seen")
        drain.begin()
        with pytest.raises(StoreUnavailable):
            waiting.result()
    with pytest.raises(StoreUnavailable):
        patient.check(JOB, "m")


def test_what_is_refused_each_time_goes_back_after_three_tries(
    store: MovedStore, drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    """And neither says so each time, nor asks at full speed."""
    store.is_there.set()
    patient = ResilientStore(store, drain)
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        patient.save_failure(FAILURE)
    assert store.calls == 3
    assert caplog.text.count("the disk is full") == 1
    assert patient.check(JOB, "m").verdict == "needed"


def test_a_store_that_refuses_for_hours_is_still_waited_for(store: MovedStore, drain: Drain) -> None:
    """Pauses double up to a limit; 2 to the power of thousands is no number of seconds."""
    patient = ResilientStore(store, drain)
    patient._failures = 5000
    patient.ping()
    assert patient.is_away
    drain.begin()
    wait_for(lambda: not patient.is_away, "the wait to end")


def test_a_document_that_is_refused_for_good_is_news_of_its_own(store: MovedStore, drain: Drain) -> None:
    patient = ResilientStore(store, drain)
    with pytest.raises(StoreRefused):
        patient.save(JOB, None, 1, JobCheck("needed", None))  # type: ignore[arg-type]
    assert not patient.is_away


def test_a_worker_that_starts_without_it_knows_before_it_takes_a_job(store: MovedStore, drain: Drain) -> None:
    patient = ResilientStore(store, drain)
    patient.ping()
    assert patient.is_away
    store.is_there.set()
    wait_for(lambda: not patient.is_away, "its return to be seen")
