"""The drain: which jobs and stages may still start after SIGTERM."""

from __future__ import annotations

import pytest

from worker.errors import WorkerStopping
from worker.lifecycle.drain import Drain


def test_before_the_drain_every_job_and_stage_may_start() -> None:
    drain = Drain(0.0)
    drain.raise_if_draining()
    drain.raise_if_no_time_for(1e6)


def test_no_job_starts_during_the_drain() -> None:
    drain = Drain(1e6)
    drain.start()
    with pytest.raises(WorkerStopping):
        drain.raise_if_draining()


def test_a_stage_starts_only_if_it_can_end_before_the_deadline() -> None:
    drain = Drain(1000.0)
    drain.start()
    drain.raise_if_no_time_for(900.0)
    with pytest.raises(WorkerStopping, match="1001 s"):
        drain.raise_if_no_time_for(1001.0)


def test_the_drain_ends_a_sleep() -> None:
    drain = Drain(1e6)
    drain.start()
    drain.sleep(1e6)
