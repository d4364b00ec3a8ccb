"""A webhook: its id, its body and its headers, as Standard Webhooks 1.0.0 says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.contract.fields import EndedJob

# An id is part of the signed text, where dots separate the parts.
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_USER_AGENT = f"clipqueue/{version('clipqueue')}"


@dataclass(frozen=True)
class Webhook:
    """What is sent for one event, in each attempt the same.

    Attributes:
        id: The same for each event of one task, so that a receiver can drop the second.
        body: JSON.
    """

    id: str
    body: bytes

    @classmethod
    def of(cls, event: bytes) -> Webhook:
        """Make the webhook of an event, which is an `EndedJob` as JSON.

        Raises:
            ValueError: It is not one.
        """
        try:
            return _make(json.loads(event))
        except (TypeError, KeyError, AttributeError, OverflowError, OSError, RecursionError):
            raise ValueError("the event has not the fields that a worker writes") from None


def sign(secret: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature, such as `v1,<base64>`."""
    digest = hmac.digest(secret, f"{webhook_id}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def headers(webhook: Webhook, secrets: Sequence[bytes], now_s: float) -> dict[str, str]:
    """Return the headers of an attempt at `now_s`, in seconds since the epoch."""
    timestamp = int(now_s)
    return {
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
        "webhook-id": webhook.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, webhook.id, timestamp, webhook.body) for secret in secrets),
    }


def _make(event: EndedJob) -> Webhook:
    data: dict[str, Any] = {"id": event["image_id"]}
    data |= {key: event[key] for key in ("url", "model", "error") if key in event}
    ended_at = datetime.fromtimestamp(event["ended_at"] / 1000, UTC).isoformat(timespec="milliseconds")
    body = {"type": f"image.{event['status']}", "timestamp": ended_at.replace("+00:00", "Z"), "data": data}
    return Webhook(_webhook_id(event["task_id"]), json.dumps(body, separators=(",", ":"), allow_nan=False).encode())


def _webhook_id(task_id: str) -> str:
    return task_id if _SAFE_ID.fullmatch(task_id) else hashlib.sha256(task_id.encode()).hexdigest()[:32]
