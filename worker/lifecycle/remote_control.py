"""Celery's remote control: what `celery inspect stats` answers, and that a worker consumes no other queue than images.

Celery's own answer has everything that connects to Redis: objects that are no JSON, and passwords of sentinels and of
certificates. Its answers to `conf` and `report` hide passwords themselves.
"""

from __future__ import annotations

from typing import Any

from celery.worker import control
from celery.worker.control import control_command, inspect_command

from producer.contract.names import IMAGE_QUEUE

_celery_s_add_consumer = control.add_consumer


# A second command of the same name replaces Celery's.
@inspect_command()
def stats(state: Any, **_: Any) -> dict[str, Any]:
    """Request worker statistics/information."""
    answer: dict[str, Any] = state.consumer.controller.stats()
    broker = answer.get("broker")
    if isinstance(broker, dict):  # text until the worker is connected
        answer["broker"] = {"transport": broker.get("transport"), "address": state.app.redis_shown}
    return answer


@control_command(args=[("queue", str)], signature="<queue>")
def add_consumer(state: Any, queue: str | None = None, **_: Any) -> dict[str, Any]:
    """Tell worker(s) to consume images again, after `cancel_consumer images`.

    Messages of another queue would reach Celery without validation, which one that is not JSON ends.
    """
    if queue != IMAGE_QUEUE:
        return {"error": f"workers consume the queue {IMAGE_QUEUE} alone"}
    return dict(_celery_s_add_consumer(state, IMAGE_QUEUE))
