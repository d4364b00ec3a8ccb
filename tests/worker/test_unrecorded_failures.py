"""An unexpected error while a failure is recorded: Celery would ack the message of a task that raises."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import pytest

from worker import tasks
from worker.app import app
from worker.errors import HttpRefused, QueueUnavailable, Requeue, StoreUnavailable
from worker.telemetry.job_end import Attempt

if TYPE_CHECKING:
    from worker.telemetry.job_end import JobEnd

TASK = SimpleNamespace(request=SimpleNamespace(properties={"delivery_tag": "tag"}))


def fail_to_record(monkeypatch: pytest.MonkeyPatch, error: Exception, park: object) -> JobEnd:
    def save_failure(_: object) -> NoReturn:
        raise error

    runtime = SimpleNamespace(
        store=SimpleNamespace(save_failure=save_failure), parking=SimpleNamespace(park=park), notes_ends=False
    )
    monkeypatch.setattr(app, "runtime", runtime, raising=False)
    attempt = Attempt(image_id="a", url="https://e.test/a", task_id="t", enqueued_at_ms=0, attempts=1)
    return tasks._fail(TASK, attempt, HttpRefused(404, "answered 404"))


def test_the_message_is_parked_and_the_attempt_has_one_end(monkeypatch: pytest.MonkeyPatch) -> None:
    parked: list[object] = []
    end = fail_to_record(monkeypatch, ValueError("unexpected"), lambda *args: parked.append(args))
    assert (end.outcome, getattr(end.error, "code", None)) == ("failed", "http_404")
    reason = "http_404, and recording this raised ValueError; the worker's log has the traceback"
    assert parked == [("tag", reason)]


@pytest.mark.parametrize(
    ("error", "parking", "raised"),
    [
        (StoreUnavailable("away"), None, StoreUnavailable),
        (ValueError("unexpected"), QueueUnavailable("away"), QueueUnavailable),
    ],
)
def test_the_job_is_requeued_while_a_server_is_away(
    error: Exception, parking: Exception | None, raised: type[Requeue], monkeypatch: pytest.MonkeyPatch
) -> None:
    def park(*_: object) -> NoReturn:
        assert parking
        raise parking

    with pytest.raises(raised):
        fail_to_record(monkeypatch, error, park)
