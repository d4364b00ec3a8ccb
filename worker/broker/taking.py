"""Takes messages from the queue. Only valid ones are returned; the others are parked."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from worker.broker import scripts
from worker.broker.parking import park
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
    deliveries = consumption.deliveries
    try:
        taken = scripts.take(redis, consumption.processing_key, tags, MAX_MESSAGE_BYTES)
        for tag in tags[: len(taken.items)]:
            deliveries.add(tag)
        return _accept(redis, deliveries, tags, taken, max_countdown_s), taken.waiting > 0
    except ResponseError:
        raise
    except (RedisError, OSError):
        # The script may have run, but Celery never gets these messages. Requeue them, or they would wait for ever.
        deliveries.defer_requeue(tags)
        raise


def _accept(
    redis: redis.Redis, deliveries: Deliveries, tags: list[str], taken: scripts.Taken, max_countdown_s: float
) -> list[dict[str, Any]]:
    """Return the valid messages; park the others."""
    messages = []
    for tag, item, size in zip(tags, taken.items, taken.sizes, strict=False):
        try:
            message = validate_message(item, max_countdown_s, size)
        except InvalidMessage as exc:
            deliveries.discard([tag])
            _park(redis, tag, item, size, str(exc))
        else:
            message["properties"]["delivery_tag"] = tag
            messages.append(message)
    return messages


def _park(redis: redis.Redis, tag: str, item: bytes, size: int, reason: str) -> None:
    try:
        park(redis, tag, item, size, reason)
        logger.error("parked an invalid message: %s; `clipqueue parked list` shows it", reason)
    except ResponseError as exc:
        # Not requeued: it would come back at once, again and again.
        logger.error("cannot park an invalid message; trying again after the visibility timeout: %s", exc)  # noqa: TRY400
