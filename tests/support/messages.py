"""A Celery message made by hand from the text of the contract, without the project's code: it may disagree with it."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any


def hand_made_message(
    kwargs: dict[str, Any], task: str = "clipqueue.embed_image", headers: dict[str, Any] | None = None
) -> str:
    """Return the message that a program in any language would LPUSH to the list `images`, with more headers."""
    task_id = str(uuid.uuid4())
    body = json.dumps([[], kwargs, {}])
    return json.dumps(
        {
            "body": base64.b64encode(body.encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "js", "task": task, "id": task_id, "root_id": task_id, "retries": 0, **(headers or {})},
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "images"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    )
