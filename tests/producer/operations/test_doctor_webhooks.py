"""`clipqueue doctor` about webhooks: nothing without them, the counts, and a sender that is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.contract.names import ENDED, ENDED_DROPPED, ENDED_REFUSED, NOTIFY_LOCK
from producer.operations.doctor.webhooks import webhook_findings

if TYPE_CHECKING:
    import redis


def test_without_webhooks_there_is_no_finding(queue: redis.Redis) -> None:
    assert webhook_findings(queue) == []


def test_events_wait_for_a_sender(queue: redis.Redis) -> None:
    queue.xadd(ENDED, {"event": "x"})
    (finding,) = webhook_findings(queue)
    assert not finding.is_ok
    assert finding.lines[0] == "1 event waiting, 0 dropped, 0 refused, and no clipqueue notify sends them"
    queue.set(NOTIFY_LOCK, "it sends")
    (finding,) = webhook_findings(queue)
    assert finding.is_ok


@pytest.mark.parametrize(("key", "count"), [(ENDED_DROPPED, "3 dropped"), (ENDED_REFUSED, "3 refused")])
def test_lost_events_are_a_problem(queue: redis.Redis, key: str, count: str) -> None:
    queue.xadd(ENDED, {"event": "x"})
    queue.set(key, 3)
    (finding,) = webhook_findings(queue)
    assert not finding.is_ok
    assert count in finding.lines[0]
