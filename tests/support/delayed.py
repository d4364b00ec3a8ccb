"""Delays jobs, as a worker does before a retry."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from producer.contract.job import ImageJob, now_ms
from producer.contract.message import task_message
from producer.contract.names import DELAYED
from producer.contract.text import compact_json

if TYPE_CHECKING:
    import redis


def delay(broker: redis.Redis, job: ImageJob, wait_s: float = 3600) -> None:
    """Let a job wait `wait_s` seconds for its second attempt, by the clock of Redis."""
    message = task_message(job.to_kwargs(), job.task_id or str(uuid.uuid4()), {})
    message["headers"]["retries"] = 1
    now: Any = broker.time()
    broker.zadd(DELAYED, {compact_json(message): now[0] + now[1] / 1e6 + wait_s})


def delay_image(broker: redis.Redis, image_id: str, url: str = "http://host/a.jpg", wait_s: float = 3600) -> None:
    """Let a new job wait."""
    delay(broker, ImageJob(image_id, url, now_ms()), wait_s)


def make_due(broker: redis.Redis) -> None:
    """Let all delayed jobs be due now."""
    members: Any = broker.zrange(DELAYED, 0, -1)
    if members:
        broker.zadd(DELAYED, dict.fromkeys(members, 1.0), xx=True)
