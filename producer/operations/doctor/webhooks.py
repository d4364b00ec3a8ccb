"""Checks the events for webhooks: whether some were lost, and whether they are sent at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.client.ended import count_events
from producer.contract.names import ENDED, ENDED_DROPPED, ENDED_REFUSED, MAX_ENDED, NOTIFY_LOCK
from producer.operations.doctor.findings import Finding
from producer.operations.text import count_of

if TYPE_CHECKING:
    from redis import Redis


def webhook_findings(redis: Redis) -> list[Finding]:
    """Return what is wrong with the webhooks; nothing if no worker ever left an event. Raises what redis-py raises."""
    waiting, dropped, refused = count_events(redis)
    if not redis.exists(ENDED) and not dropped:
        return []
    state = f"{count_of(waiting, 'event')} waiting, {dropped} dropped, {refused} refused"
    if dropped or refused:
        return [
            Finding.problem(
                "webhooks",
                state,
                f"Events are dropped when more than {MAX_ENDED:,} wait or Redis refuses them, and refused by the "
                f"receiver: see the log of clipqueue notify. To count anew: redis-cli DEL {ENDED_DROPPED} "
                f"{ENDED_REFUSED}",
            )
        ]
    if waiting and not redis.exists(NOTIFY_LOCK):
        todo = "Start clipqueue notify, or unset CLIPQUEUE_WEBHOOK_URL of the workers."
        return [Finding.problem("webhooks", f"{state}, and no clipqueue notify sends them", todo)]
    return [Finding.ok("webhooks", state)]
