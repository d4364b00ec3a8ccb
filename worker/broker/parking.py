"""Parks messages: moves them to a dead-letter list on Redis (`PARKED_LIST`), where an operator decides."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING

from producer.contract.errors import BrokerUnavailable
from producer.contract.job import now_ms
from worker.broker import scripts
from worker.errors import QueueUnavailable

if TYPE_CHECKING:
    import redis

    from producer.client.broker import Broker


def park(redis: redis.Redis, tag: str, item: bytes, size: int, reason: str) -> None:
    """Park an unacked message.

    Args:
        redis: The client. Raises its RedisError.
        tag: The delivery tag.
        item: The item of the queue; if it is too large for a message, its beginning.
        size: The size of the whole item in bytes.
        reason: Why it is parked, for the operator.
    """
    entry = {
        "id": uuid.uuid4().hex,
        "parked_at": now_ms(),
        "reason": reason,
        "bytes": size,
        "item": base64.b64encode(item).decode(),
    }
    scripts.park(redis, tag, entry)


class Parking:
    """Parks messages of jobs that have started. Thread-safe."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def park(self, tag: str, reason: str) -> None:
        """Park the message of a job, by its delivery tag. Does nothing if it was redelivered meanwhile.

        Raises:
            QueueUnavailable: Redis is unavailable.
        """
        try:
            with self._broker.commands("did not park a message") as redis:
                if item := scripts.read_unacked(redis, tag):
                    park(redis, tag, item, len(item), reason)
        except BrokerUnavailable as exc:
            raise QueueUnavailable(str(exc)) from None
