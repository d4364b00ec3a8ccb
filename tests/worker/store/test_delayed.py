"""A document that MongoDB does not write now: its job waits, does not pause the others, and ends at last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.contract.job import ImageJob
from tests.support.waiting import wait_for
from worker.errors import DocumentDelayed, HttpRefused, StoreRefused, StoreUnavailable
from worker.lifecycle.drain import Drain
from worker.store.delayed import MAX_DELAYS, DelayedDocuments
from worker.store.outage import Outage, ResilientStore
from worker.store.results import Failure, JobCheck

if TYPE_CHECKING:
    from producer.contract.queries import Save
    from worker.store.results import Result

BAD, GOOD = ImageJob("bad", "http://host/a.jpg", 1), ImageJob("good", "http://host/a.jpg", 1)
CHECK = JobCheck("needed", None)
FAILURE = Failure("bad", None, 1, 1, HttpRefused(404, "gone"))


class OneBadDocument:
    """A store in which MongoDB never writes one document, with an error that it calls temporary."""

    def __init__(self) -> None:
        self.others_written = False
        self.tries = 0
        self.is_failure_written = False
        self.is_good_written = True

    def ping(self) -> None:
        pass

    def check(self, job: ImageJob, model: str) -> JobCheck:
        return CHECK

    def save(self, job: ImageJob, result: Result, attempts: int, check: JobCheck) -> bool:
        return self._refuse() if job is BAD else self.is_good_written

    def save_upload(self, save: Save, result: Result) -> bool:
        raise NotImplementedError

    def save_failure(self, failure: Failure) -> bool:
        return self.is_failure_written or self._refuse()

    def close(self) -> None:
        pass

    def _refuse(self) -> bool:
        self.tries += 1
        raise DocumentDelayed("code 112", others_written=self.others_written)


@pytest.fixture
def store() -> OneBadDocument:
    return OneBadDocument()


@pytest.fixture
def outage() -> Outage:
    return Outage()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def resilient(
    store: OneBadDocument, outage: Outage, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> ResilientStore:
    drain = Drain(60.0)
    monkeypatch.setattr(drain, "sleep", pauses.append)
    return ResilientStore(store, outage, drain)


def save(resilient: ResilientStore, job: ImageJob) -> None:
    resilient.save(job, None, 1, CHECK)  # type: ignore[arg-type]


def run_until_refused(resilient: ResilientStore) -> int:
    """Deliver the job again and again while other jobs are saved; return how often it was requeued."""
    for requeues in range(100):
        save(resilient, GOOD)
        try:
            save(resilient, BAD)
        except StoreUnavailable:
            continue
        except StoreRefused:
            return requeues
    pytest.fail("the job is requeued for ever")


def test_a_job_ends_that_is_delayed_again_and_again_while_others_are_saved(
    store: OneBadDocument, resilient: ResilientStore, pauses: list[float]
) -> None:
    """Each request wrote the other documents of its batch. The pauses grow to half a minute."""
    store.others_written = True
    assert run_until_refused(resilient) == 6
    assert store.tries == MAX_DELAYS
    assert pauses == [min(2.0**n, 30.0) for n in range(MAX_DELAYS) if n % 3 != 2 and n != MAX_DELAYS - 1]


def test_one_document_does_not_pause_the_worker(
    store: OneBadDocument, resilient: ResilientStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.others_written = True
    started: list[StoreUnavailable] = []
    monkeypatch.setattr(resilient, "_start_outage", started.append)
    run_until_refused(resilient)
    assert started == []


def test_it_ends_too_if_it_is_alone_in_each_request(store: OneBadDocument, resilient: ResilientStore) -> None:
    """Then only the writes between its deliveries show that MongoDB is available, so fewer of its tries count."""
    assert run_until_refused(resilient) == MAX_DELAYS - 1


def test_a_job_is_requeued_for_ever_while_mongodb_writes_nothing(
    store: OneBadDocument, outage: Outage, resilient: ResilientStore
) -> None:
    """The disk is full: no job may fail, and the worker pauses. Jobs that a later one supersedes prove nothing."""
    store.is_good_written = False
    for _ in range(2 * MAX_DELAYS):
        save(resilient, GOOD)
        with pytest.raises(StoreUnavailable):
            save(resilient, BAD)
        wait_for(lambda: not outage.is_active, "the outage to end")
    assert store.tries == 3 * 2 * MAX_DELAYS


def test_the_failure_is_saved_or_given_up_at_once(store: OneBadDocument, resilient: ResilientStore) -> None:
    """Its own writes must not start a second round of waiting. A later job of the document starts from zero."""
    store.others_written = True
    run_until_refused(resilient)
    tries = store.tries
    with pytest.raises(StoreRefused):
        resilient.save_failure(FAILURE)
    assert store.tries == tries + 1
    assert run_until_refused(resilient) == 6

    store.is_failure_written = True
    resilient.save_failure(FAILURE)
    assert run_until_refused(resilient) == 6


def test_a_draining_worker_does_not_wait(store: OneBadDocument, outage: Outage) -> None:
    store.others_written = True
    drain = Drain(60.0)
    drain.start()
    with pytest.raises(DocumentDelayed):
        save(ResilientStore(store, outage, drain), BAD)
    assert store.tries == 1


def test_a_write_forgets_the_delays_of_its_document() -> None:
    delayed, error = DelayedDocuments(), DocumentDelayed("code 112", others_written=True)
    assert [delayed.add("a", error) for _ in range(3)] == [1.0, 2.0, 4.0]
    delayed.reset("a")
    assert delayed.add("a", error) == 1.0


def test_the_counts_are_bounded() -> None:
    delayed, error = DelayedDocuments(), DocumentDelayed("code 112", others_written=True)
    for number in range(20_000):
        delayed.add(str(number), error)
    assert len(delayed._delays) == 10_000
    assert delayed.add("19999", error) == 2.0
