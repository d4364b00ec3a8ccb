"""Celery's remote control: the answer to `celery inspect stats`, which Flower shows on a worker's page.

Celery's own answer has everything that connects to Redis: objects that are no JSON, and passwords of sentinels and of
certificates. Its answers to `conf` and `report` hide passwords themselves.
"""

from __future__ import annotations

from typing import Any

from celery.worker.control import inspect_command


# A second command of the same name replaces Celery's.
@inspect_command()
def stats(state: Any, **_: Any) -> dict[str, Any]:
    """Request worker statistics/information."""
    answer: dict[str, Any] = state.consumer.controller.stats()
    broker = answer.get("broker")
    if isinstance(broker, dict):  # text until the worker is connected
        answer["broker"] = {"transport": broker.get("transport"), "address": state.app.redis_shown}
    return answer
