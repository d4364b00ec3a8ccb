"""When a job is tried again: numbers only, nothing waits."""

from __future__ import annotations

import pytest

from worker.broker.retries import RetryPolicy
from worker.errors import FetchTimeout, HttpUnavailable

POLICY = RetryPolicy(max_retries=3, base_s=2.0, cap_s=30.0)


def test_the_wait_doubles_up_to_the_cap() -> None:
    waits = [POLICY.countdown_s(retries, FetchTimeout(), jitter=1.0) for retries in range(6)]
    assert waits == [2, 4, 8, 16, 30, 30]


def test_jitter_takes_at_most_half() -> None:
    assert POLICY.countdown_s(1, FetchTimeout(), jitter=0.0) == 2
    drawn = {POLICY.countdown_s(1, FetchTimeout()) for _ in range(50)}
    assert len(drawn) > 10
    assert all(2 <= wait <= 4 for wait in drawn)


@pytest.mark.parametrize(("asked", "waits"), [(10.0, 10.0), (3600.0, 30.0), (0.0, 2.0)])
def test_what_the_server_asks_is_honoured_up_to_the_cap(asked: float, waits: float) -> None:
    assert POLICY.countdown_s(0, HttpUnavailable(503, "busy", asked), jitter=1.0) == waits


def test_retries_end() -> None:
    assert [POLICY.allows(retries) for retries in range(5)] == [True, True, True, False, False]
