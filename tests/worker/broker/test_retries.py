"""When a job is tried again: numbers only, nothing waits."""

from __future__ import annotations

import pytest

from worker.broker.retries import RetryPolicy
from worker.errors import DecoderCrashed, DecodeTimeout, EncodeFailed, FetchTimeout, HttpUnavailable, TransientError
from worker.settings import Settings

POLICY = RetryPolicy(max_retries=10, base_s=2.0, cap_s=30.0, retry_after_max_s=3600.0)


def test_the_wait_doubles_up_to_the_cap() -> None:
    waits = [POLICY.wait_s(retries, FetchTimeout(), jitter=1.0) for retries in range(6)]
    assert waits == [2, 4, 8, 16, 30, 30]
    assert POLICY.wait_s(1_000_000, FetchTimeout(), jitter=1.0) == 30


def test_jitter_takes_at_most_half() -> None:
    assert POLICY.wait_s(1, FetchTimeout(), jitter=0.0) == 2
    drawn = {POLICY.wait_s(1, FetchTimeout()) for _ in range(50)}
    assert len(drawn) > 10
    assert all(2 <= wait <= 4 for wait in drawn)


@pytest.mark.parametrize(
    ("asked", "waits"),
    [(10.0, 10.0), (31.0, 31.0), (3600.0, 3600.0), (3601.0, 3600.0), (float("inf"), 3600.0), (1.5, 2.0), (0.0, 2.0)],
)
def test_what_the_server_asks_is_honoured_beyond_the_cap_and_never_shortens_the_wait(
    asked: float, waits: float
) -> None:
    assert POLICY.wait_s(0, HttpUnavailable(503, "busy", asked), jitter=1.0) == waits


def test_by_default_retries_outlast_an_outage_of_minutes() -> None:
    settings = Settings()
    policy = RetryPolicy(settings.max_retries, settings.retry_base_s, settings.retry_cap_s, settings.retry_after_max_s)
    shortest, longest = (
        sum(policy.wait_s(retries, FetchTimeout(), jitter) for retries in range(policy.max_retries))
        for jitter in (0.0, 1.0)
    )
    assert (shortest, longest) == (555, 1110)


@pytest.mark.parametrize("error", [DecodeTimeout(), DecoderCrashed(), EncodeFailed()])
def test_errors_that_are_not_the_hosts_have_a_maximum_of_their_own(error: TransientError) -> None:
    """A file that crashes the decoder is not decoded eleven times; and an outage of its host does not count."""
    assert [POLICY.allows(error, retries=own, own_retries=own) for own in range(7)] == [*[True] * 5, False, False]
    assert POLICY.allows(error, retries=9, own_retries=4)
    assert not POLICY.allows(error, retries=10, own_retries=0)


def test_retries_end() -> None:
    allowed = [POLICY.allows(FetchTimeout(), retries, own_retries=5) for retries in range(12)]
    assert allowed == [*[True] * 10, False, False]
