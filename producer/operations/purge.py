"""Counts and deletes messages of a Redis list: the queue, or the parked messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producer.client.broker import Broker


def count_messages(broker: Broker, key: str) -> int:
    """Return the length of the list `key`.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("did not answer") as redis:
        count: Any = redis.llen(key)
    return int(count)


def delete_messages(broker: Broker, key: str, *counters: str) -> int:
    """Delete the list `key` and the keys that count its messages; return how many messages it had.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands("failed during the purge") as redis:
        # One transaction, so that the count is right while others enqueue. UNLINK frees a long list without blocking
        # other clients, unlike DEL.
        pipeline = redis.pipeline(transaction=True)
        pipeline.llen(key)
        pipeline.unlink(key, *counters)
        return int(pipeline.execute()[0])
