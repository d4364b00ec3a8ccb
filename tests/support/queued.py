"""What stands on the queue, as a worker would read it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis


def queued_kwargs(broker: redis.Redis) -> list[dict[str, Any]]:
    """Return the keyword arguments of each job that waits, the next one to be taken first."""
    messages: Any = broker.lrange("images", 0, -1)
    return [json.loads(base64.b64decode(json.loads(raw)["body"]))[1] for raw in reversed(messages)]


def queued_ids(broker: redis.Redis) -> list[str]:
    """Return the ids of the jobs that wait, an ObjectId by its digits."""
    ids = [kwargs["image_id"] for kwargs in queued_kwargs(broker)]
    return [one if isinstance(one, str) else one["$oid"] for one in ids]
