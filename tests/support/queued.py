"""Reads the jobs that wait on the queue, as a worker would."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from worker.broker.validation import validate_message

if TYPE_CHECKING:
    import redis


def queued_kwargs(broker: redis.Redis) -> list[dict[str, Any]]:
    """Return the keyword arguments of each waiting job; the first is consumed next."""
    messages: Any = broker.lrange("images", 0, -1)
    return [json.loads(base64.b64decode(json.loads(raw)["body"]))[1] for raw in reversed(messages)]


def queued_task_ids(broker: redis.Redis) -> list[str]:
    """Return the task id of each waiting job; the first is consumed next."""
    messages: Any = broker.lrange("images", 0, -1)
    return [json.loads(raw)["headers"]["id"] for raw in reversed(messages)]


def queued_ids(broker: redis.Redis) -> list[str]:
    """Return the ids of the waiting jobs; an ObjectId as its hex digits."""
    ids = [kwargs["image_id"] for kwargs in queued_kwargs(broker)]
    return [image_id if isinstance(image_id, str) else image_id["$oid"] for image_id in ids]


def accepted_jobs(broker: redis.Redis) -> list[dict[str, Any]]:
    """Return the keyword arguments of each waiting job as a worker reads them; fail if it would park one of them."""
    messages: Any = broker.lrange("images", 0, -1)
    accepted = [validate_message(raw) for raw in reversed(messages)]
    return [json.loads(base64.b64decode(message["body"]))[1] for message in accepted]


def has_ended(broker: redis.Redis) -> bool:
    """Return whether no message is on the queue, handed over to a worker, unacked or delayed."""
    script = """
    local handed_over = #redis.call('KEYS', 'clipqueue:taken:*')
    return handed_over + redis.call('EXISTS', 'images', 'unacked', 'clipqueue:delayed') == 0
    """
    return bool(broker.eval(script, 0))
