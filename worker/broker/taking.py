"""Takes messages from the queue. Only valid ones are returned; the others are parked.

Those that a worker of an earlier version has put there until a time wait with the delayed messages.
"""

from __future__ import annotations

import logging
import random
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from producer.contract.text import compact_json
from worker.broker import scripts
from worker.broker.parking import park
from worker.broker.validation import MAX_MESSAGE_BYTES, InvalidMessage, validate_message

if TYPE_CHECKING:
    import redis

    from worker.broker.deliveries import ConsumerState, Deliveries

logger = logging.getLogger(__name__)

# No worker has ever let a retry wait for longer.
_MAX_ETA_S = 3600.0


def take(redis: redis.Redis, consumption: ConsumerState, count: int) -> tuple[list[dict[str, Any]], bool]:
    """Take up to `count` messages, which are unacked from now on.

    While others wait, half of the messages may be due retries, so that neither waits for all of the other kind.

    Returns:
        The valid messages, with their delivery tags, and whether more messages wait.

    Raises:
        RedisError, OSError: Redis did not answer or refused the command. No message is lost.
    """
    tags = [uuid.uuid4().hex for _ in range(count)]
    deliveries = consumption.deliveries
    half = (count + random.getrandbits(1)) // 2  # a busy worker takes one at a time
    try:
        taken = scripts.take(redis, consumption.processing_key, tags, MAX_MESSAGE_BYTES, half)
        for tag in tags[: len(taken.items)]:
            deliveries.add(tag)
        return _accept(redis, deliveries, tags, taken), taken.waiting > 0
    except ResponseError:
        raise
    except (RedisError, OSError):
        # The script may have run, but Celery never gets these messages. Requeue them, or they would wait for ever.
        deliveries.defer_requeue(tags)
        raise


def _accept(redis: redis.Redis, deliveries: Deliveries, tags: list[str], taken: scripts.Taken) -> list[dict[str, Any]]:
    """Return the valid messages that may run now; park the others, or delay them."""
    messages = []
    for tag, item, size in zip(tags, taken.items, taken.sizes, strict=False):
        try:
            message = validate_message(item, size)
        except InvalidMessage as exc:
            deliveries.discard([tag])
            _park(redis, tag, item, size, str(exc))
            continue
        wait_s = _take_eta(message, taken.now_s)
        if wait_s > 0:
            deliveries.defer_delay(tag, compact_json(message).encode(), wait_s)
        else:
            message["properties"]["delivery_tag"] = tag
            messages.append(message)
    return messages


def _take_eta(message: dict[str, Any], now_s: int) -> float:
    """Remove the ETA of a message, for which Celery would wait; return the seconds until then, if it makes sense."""
    eta, message["headers"]["eta"] = message["headers"]["eta"], None
    wait_s = datetime.fromisoformat(eta).timestamp() - now_s if eta else 0.0
    return wait_s if wait_s <= _MAX_ETA_S else 0.0


def _park(redis: redis.Redis, tag: str, item: bytes, size: int, reason: str) -> None:
    try:
        park(redis, tag, item, size, reason)
        logger.error("parked an invalid message: %s; `clipqueue parked list` shows it", reason)
    except ResponseError as exc:
        # Not requeued: it would come back at once, again and again.
        logger.error("cannot park an invalid message; trying again after the visibility timeout: %s", exc)  # noqa: TRY400
