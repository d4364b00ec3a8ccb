"""What a worker that was told to stop still begins."""

from __future__ import annotations

import pytest

from worker.errors import WorkerStopping
from worker.lifecycle.drain import Drain


def test_until_it_begins_everything_may_be_started() -> None:
    drain = Drain(0.0)
    drain.start_job()
    drain.start_stage(1e6)


def test_no_job_is_started_any_more() -> None:
    drain = Drain(1e6)
    drain.begin()
    with pytest.raises(WorkerStopping):
        drain.start_job()


def test_a_stage_is_started_if_it_ends_in_time() -> None:
    drain = Drain(1000.0)
    drain.begin()
    drain.start_stage(900.0)
    with pytest.raises(WorkerStopping, match="1001 s"):
        drain.start_stage(1001.0)


def test_a_pause_ends_when_it_begins() -> None:
    drain = Drain(1e6)
    drain.begin()
    drain.pause(1e6)
