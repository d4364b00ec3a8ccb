"""The log's lines of a job: how each attempt ended, with the times of its stages and without secrets."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from worker.errors import HostBusy, HttpRefused, HttpUnavailable, StoreUnavailable
from worker.telemetry.job_end import Attempt
from worker.telemetry.job_log import JobLog

URL = "https://e.test/a.jpg?signature=secret"


def attempt(*stages: str, attempts: int = 1) -> Attempt:
    one = Attempt(image_id="photo", url=URL, task_id="t", enqueued_at_ms=0, attempts=attempts)
    one.times.seconds |= dict.fromkeys(stages, 0.0125)
    return one


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        (
            attempt("check", "fetch").end("done", batch_size=8, verdict="needed"),
            ["INFO job=photo done batch=8 check=12.5ms fetch=12.5ms url=https://e.test/a.jpg"],
        ),
        (
            attempt("check").end("skipped", verdict="current"),
            ["INFO job=photo skipped (current) check=12.5ms url=https://e.test/a.jpg"],
        ),
        (
            attempt("fetch", attempts=2).end("failed", error=HttpRefused(404, "answered 404")),
            [
                "WARNING job=photo error after fetch=12.5ms: answered 404",
                "WARNING job=photo failed stage=fetch code=http_404",
            ],
        ),
        (
            attempt(attempts=3).end("retried", error=HttpUnavailable(503, "answered 503"), retry_in_s=40.5),
            ["INFO job=photo runs again in 40.5 s: retry 3 (http_503)"],
        ),
        (attempt().end("requeued", error=StoreUnavailable("no MongoDB")), ["WARNING task=t requeued: no MongoDB"]),
        (attempt().end("requeued", error=HostBusy("busy")), ["DEBUG task=t requeued: busy"]),
    ],
)
def test_the_log_says_how_each_attempt_ended(end: Any, lines: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        JobLog().job_ended(end)
    assert [f"{record.levelname} {record.getMessage()}" for record in caplog.records] == lines
