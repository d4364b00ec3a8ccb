"""Checks the parked messages: whether there are any, and whether some were lost because there were too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.names import PARKED_MAX_BYTES
from producer.operations.doctor.findings import Finding
from producer.operations.parked import count_bytes, count_dropped, count_parked, read_parked
from producer.operations.text import count_of, size_of

if TYPE_CHECKING:
    from redis import Redis

_SHOWN = 5


def messages_finding(redis: Redis) -> Finding:
    """Check whether messages are parked, which are not valid jobs. Raises what redis-py raises."""
    count = count_parked(redis)
    if not count:
        return Finding.ok("parked", "no message was parked")
    size = count_bytes(redis)
    were = "was" if count == 1 else "were"
    counted = f" ({size_of(size)})" if size else ""  # nothing is counted if only earlier versions have parked messages
    return Finding.problem(
        "parked",
        f"{count_of(count, 'message')} on the queue{counted} {were} not valid, or MongoDB refused to record "
        "the failure; the newest:",
        *(message.described() for message in read_parked(redis, _SHOWN)),
        "Find the program that sends invalid ones, or mend what MongoDB refuses. Then look at them (clipqueue parked "
        "list), put them on the queue again (clipqueue parked requeue) or delete them (clipqueue parked drop).",
    )


def space_finding(redis: Redis) -> Finding:
    """Check whether there is space for more parked messages, and none was lost. Raises what redis-py raises."""
    size, dropped = count_bytes(redis), count_dropped(redis)
    used = f"{size_of(size)} of {size_of(PARKED_MAX_BYTES)} used"
    if dropped:
        return Finding.problem(
            "parking space",
            f"{count_of(dropped, 'parked message')} {'is' if dropped == 1 else 'are'} lost: the oldest were dropped, "
            f"because there were too many ({used})",
            "Stop the program that sends invalid messages. Deleting all parked messages also deletes this count: "
            "clipqueue parked drop --all",
        )
    if 2 * size > PARKED_MAX_BYTES:
        return Finding.problem(
            "parking space",
            f"{used}: when it is full, the oldest parked messages are dropped",
            "Stop the program that sends invalid messages, then run clipqueue parked requeue or clipqueue parked drop.",
        )
    return Finding.ok("parking space", f"{used}; no parked message was dropped")
