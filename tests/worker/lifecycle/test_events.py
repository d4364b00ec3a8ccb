"""Flower gets every event of every task, in batches."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.support.pictures import small_jpeg
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from producer.client.client import EmbeddingClient
    from tests.support.servers import ImageServer


def test_flower_gets_the_events_of_every_task(
    worker_log: Path, broker: redis.Redis, client: EmbeddingClient, images: ImageServer, new_id: str
) -> None:
    url = images.add("/photo.jpg", small_jpeg())
    seen: dict[str, set[str]] = defaultdict(set)
    with broker.pubsub() as events:  # type: ignore[no-untyped-call]
        events.psubscribe("/0.celeryev/task.multi")
        tasks = [client.enqueue(f"{new_id}-{number}", url) for number in range(10)]

        def have_arrived() -> bool:
            if (message := events.get_message(timeout=1.0)) and message["type"] == "pmessage":
                for event in json.loads(base64.b64decode(json.loads(message["data"])["body"])):
                    seen[event["uuid"]].add(event["type"])
            return all(seen[task] >= {"task-received", "task-started", "task-succeeded"} for task in tasks)

        wait_for(have_arrived, "the events of all tasks")
