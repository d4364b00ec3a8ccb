"""The log's lines of a job: how each attempt ended, without secrets; and one line for many when there are too many."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from producer.contract.job import now_ms
from producer.telemetry.log_rate import Rate
from tests.support.waiting import wait_for
from worker.errors import CorruptImage, HostBusy, HttpRefused, HttpUnavailable, InternalError, StoreUnavailable
from worker.telemetry.job_end import Attempt, JobEnd
from worker.telemetry.job_log import JobLog, logger

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "https://e.test/a.jpg?signature=secret"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def attempt(*stages: str, attempts: int = 1, job: str = "photo") -> Attempt:
    one = Attempt(
        image_id=job,
        url=URL,
        task_id="t",
        enqueued_at_ms=now_ms() - 5000,
        attempts=attempts,
        taken_at_ms=now_ms(),
        trace_id=TRACE_ID,
    )
    one.times.seconds |= dict.fromkeys(stages, 0.0125)
    return one


DONE = attempt("check", "fetch").end("done", batch_size=8, verdict="needed")
SKIPPED = attempt("check").end("skipped", verdict="current")
FAILED = attempt("fetch", attempts=2).end("failed", error=HttpRefused(404, "it answered 404"))
NAMED = attempt("fetch").end("failed", error=HttpRefused(404, "https://e.test/a.jpg answered 404"))
RETRIED = attempt(attempts=3).end("retried", error=HttpUnavailable(503, "it answered 503"), retry_in_s=40.5)
AWAY = attempt().end("requeued", error=StoreUnavailable("no MongoDB"))
FAILED_LINE = "WARNING job=photo failed stage=fetch code=http_404 after fetch=12.5ms"
BUSY = attempt().end("requeued", error=HostBusy("busy"))


@pytest.fixture(autouse=True)
def _only_own_lines(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Capture all lines of the job log, and none of another thread or of another test's job log."""
    caplog.set_level(logging.DEBUG)
    _cancel_timers()
    with caplog.filtering(logging.Filter(logger.name)):
        yield
    _cancel_timers()


def _cancel_timers() -> None:
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


@pytest.mark.parametrize(
    ("end", "line"),
    [
        (DONE, "INFO job=photo done batch=8 check=12.5ms fetch=12.5ms url=https://e.test/a.jpg"),
        (SKIPPED, "INFO job=photo skipped (current) check=12.5ms url=https://e.test/a.jpg"),
        (
            FAILED,
            f"{FAILED_LINE}: it answered 404 url=https://e.test/a.jpg",
        ),
        (
            NAMED,
            f"{FAILED_LINE}: https://e.test/a.jpg answered 404",
        ),
        (
            RETRIED,
            "INFO job=photo runs again in 40.5 s: retry 3 (http_503): it answered 503 url=https://e.test/a.jpg",
        ),
        (AWAY, "WARNING job=photo requeued: no MongoDB url=https://e.test/a.jpg"),
        (BUSY, "DEBUG job=photo requeued: busy url=https://e.test/a.jpg"),
    ],
)
def test_each_attempt_has_one_line(end: JobEnd, line: str, caplog: pytest.LogCaptureFixture) -> None:
    JobLog().job_ended(end)
    assert [f"{record.levelname} {record.getMessage()}" for record in caplog.records] == [line]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (DONE, {"outcome": "done", "attempt": 1, "batch": 8, "check_ms": 12.5, "fetch_ms": 12.5}),
        (SKIPPED, {"outcome": "skipped", "attempt": 1, "verdict": "current", "check_ms": 12.5}),
        (
            FAILED,
            {
                "outcome": "failed",
                "attempt": 2,
                "code": "http_404",
                "stage": "fetch",
                "error": "it answered 404",
                "fetch_ms": 12.5,
            },
        ),
        (
            RETRIED,
            {
                "outcome": "retried",
                "attempt": 3,
                "code": "http_503",
                "stage": "fetch",
                "error": "it answered 503",
                "retry_in_s": 40.5,
            },
        ),
        (BUSY, {"outcome": "requeued", "attempt": 1, "error": "busy"}),
    ],
)
def test_a_line_has_the_same_as_fields(end: JobEnd, expected: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    before = set(vars(logging.makeLogRecord({})))
    JobLog().job_ended(end)
    fields = {name: value for name, value in vars(caplog.records[0]).items() if name not in before}
    fields.pop("message", None)
    assert fields.pop("queue_ms", 5000) >= 5000, "the wait before a retry is no wait in the queue"
    assert fields.pop("total_ms", 5000) >= 5000
    of_all = {"job": "photo", "task": "t", "url": "https://e.test/a.jpg", "trace_id": TRACE_ID}
    assert fields == {**of_all, **expected}


def test_the_times_in_the_queue_and_in_total_are_of_a_jobs_first_attempt_and_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for end in (DONE, FAILED, RETRIED, BUSY):
        JobLog().job_ended(end)
    times = [(hasattr(record, "queue_ms"), hasattr(record, "total_ms")) for record in caplog.records]
    assert times == [(True, True), (False, True), (False, False), (True, False)]


@pytest.mark.parametrize(
    ("jobs", "outcomes"),
    [
        ("auto", ["done", "skipped", "failed", "retried", "requeued", "requeued"]),
        ("all", ["done", "skipped", "failed", "retried", "requeued", "requeued"]),
        ("failed", ["failed", "retried", "requeued"]),
    ],
)
def test_a_setting_says_which_jobs_have_a_line(
    jobs: Any, outcomes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    log = JobLog(jobs)
    for end in (DONE, SKIPPED, FAILED, RETRIED, AWAY, BUSY):
        log.job_ended(end)
    log.summarize()
    assert [vars(record)["outcome"] for record in caplog.records] == outcomes


def test_all_means_all(caplog: pytest.LogCaptureFixture) -> None:
    log = JobLog("all", clock=Clock())
    for _ in range(1000):
        log.job_ended(DONE)
        log.job_ended(FAILED)
    assert len(caplog.records) == 2000


def test_above_a_rate_one_line_stands_for_many(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = JobLog("auto", clock=clock)
    for number in range(1000):
        clock.now = number / 200
        slow = attempt("fetch", job=str(number))
        slow.times.seconds["fetch"] = 0.1 + number / 1e4
        log.job_ended(slow.end("done", batch_size=3, verdict="needed"))
    assert 370 <= len(caplog.records) <= 380, "128 at once, and 50 in each of 5 seconds"
    lines = len(caplog.records)
    log.summarize()
    log.summarize()
    [summary] = caplog.records[lines:]
    left = 1000 - lines
    assert summary.levelname == "INFO"
    assert summary.getMessage().startswith(f"{left} job lines left out in ")
    fields = vars(summary)
    assert (fields["left_out"], fields["done"]) == (left, left)
    assert fields["jobs_per_s"] == pytest.approx(200, rel=0.02)
    assert fields["batch_mean"] == 3
    assert fields["fetch_ms_worst"] == pytest.approx(199.9, abs=1)
    assert 140 < fields["fetch_ms_mean"] < 170


def test_a_flood_of_one_failure_hides_no_other_and_no_job(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = JobLog("auto", clock=clock)
    ends = [FAILED] * 2000 + [DONE]
    rare = [attempt(job="rare").end("failed", error=error) for error in (CorruptImage("cut"), InternalError("oops"))]
    for end in (*ends, *rare):
        log.job_ended(end)
    written: Counter[str] = Counter(vars(record).get("code", "none") for record in caplog.records)
    assert written == {"http_404": 61, "none": 1, "corrupt_image": 1, "internal_error": 1}
    log.summarize()
    summary = caplog.records[-1]
    assert summary.levelname == "WARNING"
    assert "failed=1939" in summary.getMessage()
    assert summary.getMessage().endswith("http_404=1939")


def test_failures_alone_have_the_same_rate_and_a_summary_that_counts_all_jobs(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = JobLog("failed", clock=clock)
    for number in range(1000):
        clock.now = number / 1000
        log.job_ended(DONE if number % 2 else FAILED)
    assert {vars(record)["outcome"] for record in caplog.records} == {"failed"}
    lines = len(caplog.records)
    assert 61 <= lines <= 122
    log.summarize()
    fields = vars(caplog.records[-1])
    assert (fields["left_out"], fields["failed"]) == (500 - lines, 500 - lines)
    assert "done" not in fields
    assert fields["jobs_per_s"] == pytest.approx(1000, rel=0.02)


def test_codes_that_servers_invent_share_one_rate(caplog: pytest.LogCaptureFixture) -> None:
    """Else each of 900 statuses would have lines of its own."""
    log = JobLog("auto", clock=Clock())
    for status in (*range(600, 1000), *range(600, 1000)):
        log.job_ended(attempt().end("failed", error=HttpRefused(status, "odd")))
    assert len(caplog.records) == 61


def test_in_no_second_are_there_more_lines_than_a_platform_takes(caplog: pytest.LogCaptureFixture) -> None:
    """All that may fail fails, and all else is done: 10,000 ends in one second."""
    clock = Clock()
    log = JobLog("auto", clock=clock)
    errors = [HttpRefused(status, "odd") for status in range(300, 500)]
    for number in range(10_000):
        clock.now = number / 10_000
        log.job_ended(DONE if number % 2 else attempt().end("failed", error=errors[number % len(errors)]))
    assert 300 < len(caplog.records) < 500, "Railway's limit is 500"


def test_the_summary_comes_although_no_more_jobs_end(caplog: pytest.LogCaptureFixture) -> None:
    log = JobLog("auto", summary_s=0.05, clock=Clock())
    for _ in range(138):
        log.job_ended(DONE)
    wait_for(lambda: "10 job lines left out" in caplog.text, "the summary")


def test_no_job_is_counted_twice_or_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """Many threads end jobs while summaries are written."""
    log = JobLog("auto", summary_s=0.01)

    def end_jobs() -> None:
        for _ in range(500):
            log.job_ended(DONE)

    threads = [threading.Thread(target=end_jobs) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.summarize()
    counts = [vars(record).get("left_out", 1) for record in caplog.records]
    wait_for(lambda: sum(vars(record).get("left_out", 1) for record in caplog.records) == 4000, f"4000: {counts}")


def test_lines_below_the_level_are_neither_written_nor_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "worker.telemetry.job_log")
    log = JobLog("auto", clock=Clock())
    for _ in range(200):
        log.job_ended(DONE)
        log.job_ended(BUSY)
    log.summarize()
    assert caplog.records == []


def test_a_rate_allows_its_number_on_average_and_some_at_once_after_a_pause() -> None:
    clock = Clock()
    rate = Rate(50, clock, 80)
    allowed = []
    for number in range(3000):
        clock.now = number / 1000
        allowed.append(rate.allows())
    assert sum(allowed[:100]) == 84
    assert sum(allowed) == pytest.approx(230, abs=2)
    clock.now += 1000
    assert sum(rate.allows() for _ in range(100)) == 80
