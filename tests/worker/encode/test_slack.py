"""Batches are short while queries arrive, and as long as they may be otherwise."""

from __future__ import annotations

import pytest

from worker.encode.slack import Slack


@pytest.mark.parametrize(("slack_s", "per_image_s", "cap"), [(0.15, 0.025, 6), (0.15, 0.2, 1), (1.0, 0.001, 32)])
def test_no_batch_takes_longer_than_the_slack_while_queries_arrive(
    slack_s: float, per_image_s: float, cap: int
) -> None:
    now = 0.0
    slack = Slack.of(slack_s, per_image_s, clock=lambda: now)
    assert slack.limit(32) == 32, "no query has arrived yet"
    slack.note_query()
    assert slack.limit(32) == cap
    now = 30.0
    assert slack.limit(32) == cap
    now = 31.0
    assert slack.limit(32) == 32
