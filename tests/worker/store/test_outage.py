"""Calls wait while MongoDB is unavailable, and give up on a MongoDB that answers pings and refuses writes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from producer.contract.job import ImageJob
from tests.support.waiting import wait_for
from worker.errors import HttpRefused, StoreRefused, StoreUnavailable
from worker.lifecycle.drain import Drain
from worker.store.outage import Outage, ResilientStore
from worker.store.results import Failure, JobCheck

if TYPE_CHECKING:
    from producer.contract.queries import Save
    from worker.store.results import Result

JOB = ImageJob("photo-1", "http://host/a.jpg", 1)
FAILURE = Failure("photo-1", None, 1, 1, HttpRefused(404, "gone"))


class FlakyStore:
    """A store that the test makes unavailable, and that refuses every write."""

    def __init__(self) -> None:
        self.is_available = threading.Event()
        self.calls = 0

    def ping(self) -> None:
        if not self.is_available.is_set():
            raise StoreUnavailable("connection refused")

    def check(self, job: ImageJob, model: str) -> JobCheck:
        self.calls += 1
        self.ping()
        return JobCheck("needed", None)

    def save(self, job: ImageJob, result: Result, attempts: int, check: JobCheck) -> bool:
        raise StoreRefused("a validator")

    def save_upload(self, save: Save, result: Result) -> bool:
        raise NotImplementedError

    def save_failure(self, failure: Failure) -> bool:
        self.calls += 1
        raise StoreUnavailable("the disk is full")

    def close(self) -> None:
        pass


@pytest.fixture
def store() -> FlakyStore:
    return FlakyStore()


@pytest.fixture
def drain() -> Drain:
    return Drain(60.0)


@pytest.fixture
def outage() -> Outage:
    return Outage()


@pytest.fixture
def resilient(store: FlakyStore, outage: Outage, drain: Drain) -> ResilientStore:
    return ResilientStore(store, outage, drain)


def test_calls_wait_for_the_end_of_the_outage_which_is_logged_once(
    store: FlakyStore, outage: Outage, resilient: ResilientStore, caplog: pytest.LogCaptureFixture
) -> None:
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(resilient.check, JOB, "m") for _ in range(8)]
        wait_for(lambda: store.calls == 8 and outage.is_active, "every call to fail once")
        assert not any(call.done() for call in calls)
        store.is_available.set()
        assert {call.result().verdict for call in calls} == {"needed"}
    assert not outage.is_active
    assert store.calls == 16
    assert caplog.text.count("MongoDB unavailable; consumption paused: connection refused") == 1
    assert caplog.text.count("MongoDB is available again") == 1


def test_a_draining_worker_does_not_wait(outage: Outage, drain: Drain, resilient: ResilientStore) -> None:
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(resilient.check, JOB, "m")
        wait_for(lambda: outage.is_active, "the outage to start")
        drain.start()
        with pytest.raises(StoreUnavailable):
            call.result()
    with pytest.raises(StoreUnavailable):
        resilient.check(JOB, "m")


def test_a_drain_that_ends_the_wait_is_not_logged_as_the_end_of_the_outage(
    outage: Outage, drain: Drain, resilient: ResilientStore, caplog: pytest.LogCaptureFixture
) -> None:
    resilient.ping()
    assert outage.is_active
    drain.start()
    wait_for(lambda: not outage.is_active, "the probe to end")
    assert "MongoDB unavailable; consumption paused: connection refused" in caplog.text
    assert "available again" not in caplog.text


def test_a_write_that_is_refused_each_time_fails_after_three_tries(
    store: FlakyStore, resilient: ResilientStore, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, and the tries are spaced out."""
    store.is_available.set()
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        resilient.save_failure(FAILURE)
    assert store.calls == 3
    assert caplog.text.count("the disk is full") == 1
    assert resilient.check(JOB, "m").verdict == "needed"


def test_the_first_probe_is_delayed_longer_each_time_up_to_a_limit(
    outage: Outage, drain: Drain, resilient: ResilientStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a write succeeds. The limit holds for an outage of hours, too."""
    delays: list[float] = []
    monkeypatch.setattr(drain, "sleep", delays.append)
    monkeypatch.setattr(resilient, "_answers", lambda: True)
    for _ in range(100):
        resilient.ping()
        wait_for(lambda: not outage.is_active, "the outage to end")
    assert delays[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert set(delays[6:]) == {30.0}


def test_a_rejected_document_does_not_start_an_outage(outage: Outage, resilient: ResilientStore) -> None:
    with pytest.raises(StoreRefused):
        resilient.save(JOB, None, 1, JobCheck("needed", None))  # type: ignore[arg-type]
    assert not outage.is_active


def test_a_ping_at_start_finds_the_outage_before_the_first_job(
    store: FlakyStore, outage: Outage, resilient: ResilientStore
) -> None:
    resilient.ping()
    assert outage.is_active
    store.is_available.set()
    wait_for(lambda: not outage.is_active, "the outage to end")
