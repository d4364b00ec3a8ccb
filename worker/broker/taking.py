"""Takes messages from the queue. Only valid ones are returned; the others are parked.

To park a message means to move it to a dead-letter list (`PARKED_LIST`).
"""

from __future__ import annotations

import base64
import logging
import uuid
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from producer.contract.job import now_ms
from worker.broker import scripts
from worker.broker.validation import MAX_MESSAGE_BYTES, InvalidMessage, validate_message

if TYPE_CHECKING:
    import redis

    from worker.broker.deliveries import ConsumerState, Deliveries

logger = logging.getLogger(__name__)


def take(
    redis: redis.Redis, consumption: ConsumerState, count: int, max_countdown_s: float
) -> tuple[list[dict[str, Any]], bool]:
    """Take up to `count` messages, which are unacked from now on.

    Returns:
        The valid messages, with their delivery tags, and whether more messages wait.

    Raises:
        RedisError, OSError: Redis did not answer or refused the command. No message is lost.
    """
    tags = [uuid.uuid4().hex for _ in range(count)]
    try:
        taken = scripts.take(redis, consumption.processing_key, tags)
    except ResponseError:
        raise
    except (RedisError, OSError):
        # The script may have run, but Celery never gets these messages. Requeue them, or they would wait for the
        # visibility timeout.
        consumption.deliveries.defer_requeue(tags)
        raise
    items = dict(zip(tags, taken.items, strict=False))
    for tag in items:
        consumption.deliveries.add(tag)
    return _accept(redis, consumption.deliveries, items, max_countdown_s), taken.waiting > 0


def _accept(
    redis: redis.Redis, deliveries: Deliveries, items: dict[str, bytes], max_countdown_s: float
) -> list[dict[str, Any]]:
    """Return the valid messages among items by delivery tag; park the others."""
    messages = []
    for tag, item in items.items():
        try:
            message = validate_message(item, max_countdown_s)
        except InvalidMessage as exc:
            _park(redis, deliveries, tag, item, str(exc))
        else:
            message["properties"]["delivery_tag"] = tag
            messages.append(message)
    return messages


def _park(redis: redis.Redis, deliveries: Deliveries, tag: str, item: bytes, reason: str) -> None:
    entry = {
        "id": uuid.uuid4().hex,
        "parked_at": now_ms(),
        "reason": reason,
        "bytes": len(item),
        "item": base64.b64encode(item[:MAX_MESSAGE_BYTES]).decode(),
    }
    deliveries.discard([tag])
    try:
        scripts.park(redis, tag, entry)
        logger.error("parked an invalid message: %s; `clipqueue parked list` shows it", reason)
    except (RedisError, OSError) as exc:
        # Not requeued: it would come back at once, again and again.
        logger.error("cannot park an invalid message; trying again after the visibility timeout: %s", exc)  # noqa: TRY400
