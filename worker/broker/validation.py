"""Reads what comes off the queue, whoever put it there, and writes it anew in the one form that Celery takes well.

Celery and kombu trust their messages: a list item that is not JSON, a body that is not base64 or a header of the wrong
type ends a stock worker, and what a message says of callbacks, exchanges and times is done. So nothing foreign goes on
but a task id, four keyword arguments, a count of retries and a time to wait.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from producer.contract.errors import InvalidJob
from producer.contract.job import JOB_KEYS, parse_image_id
from producer.contract.message import task_message
from producer.contract.names import IMAGE_TASK

# A job of the longest URL and id, of characters that JSON escapes in twelve, has about 87,000.
MAX_MESSAGE_BYTES = 131_072
# How often the job was redelivered because its worker was lost. Only `worker.broker.transport` adds to it.
LOST_HEADER = "clipqueue_lost"

_MAX_COUNT = 1_000_000
_MAX_TASK_ID_CHARS = 255
_PARTS = 3


class InvalidMessage(Exception):
    """The item is no message that a task could be made of; the text says why, without repeating it."""


def validate_message(item: bytes, max_countdown_s: float) -> dict[str, Any]:
    """Return a clean payload for kombu's Redis transport.

    It is the one that our own producer would have written (`producer.contract.message`). `delivery_tag` and
    `delivery_info` are ours too: two messages with one tag would share one place among the unacked.

    Args:
        item: The list item as it is on Redis.
        max_countdown_s: Most seconds that it may ask to wait: it would wait unacked in a worker's memory.

    Raises:
        InvalidMessage: It is no message, or names no task of ours, or no document to record a failure in.
    """
    payload = _object(_parse(item, "the item"), "the item")
    headers = _object(payload.get("headers"), "`headers`")
    if headers.get("task") != IMAGE_TASK:
        raise InvalidMessage("`headers.task` is no task of this queue")
    kwargs = _job(payload)
    message = task_message(kwargs, _task_id(headers.get("id")), {})
    message["headers"].update(
        {
            "retries": _count(headers.get("retries")),
            "eta": _eta(headers, max_countdown_s),
            LOST_HEADER: _count(headers.get(LOST_HEADER)),
        }
    )
    return message


def _parse(content: bytes, what: str) -> Any:
    if len(content) > MAX_MESSAGE_BYTES:
        raise InvalidMessage(f"{what} has {len(content)} bytes; a job has at most {MAX_MESSAGE_BYTES}")
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError:
        raise InvalidMessage(f"{what} is not UTF-8 text") from None
    except (ValueError, RecursionError) as exc:  # a number of thousands of digits, a nest of thousands of brackets
        raise InvalidMessage(f"{what} is not JSON ({type(exc).__name__})") from None


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidMessage(f"{what} is not an object")
    return value


def _job(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of the contract; their values may still be wrong, save for the id."""
    if payload.get("content-type") != "application/json":
        raise InvalidMessage("`content-type` is not application/json")
    body = payload.get("body")
    if not isinstance(body, str):
        raise InvalidMessage("`body` is not a string")
    properties = _object(payload.get("properties"), "`properties`")
    try:
        content = (
            base64.b64decode(body, validate=True) if properties.get("body_encoding") == "base64" else body.encode()
        )
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII, lone surrogates
        raise InvalidMessage("`body` is not what `properties.body_encoding` says") from None
    parts = _parse(content, "`body`")
    if not isinstance(parts, list) or len(parts) != _PARTS or not isinstance(parts[1], dict):
        raise InvalidMessage("`body` is not [arguments, keyword arguments, options]")
    kwargs = {key: _plain(parts[1][key]) for key in JOB_KEYS if key in parts[1]}
    try:
        image_id = parse_image_id(parts[1].get("image_id"))
    except InvalidJob as exc:
        raise InvalidMessage(f"no document can be found for it: {exc}") from None
    return {**kwargs, "image_id": image_id if isinstance(image_id, str) else {"$oid": image_id.hex}}


def _plain(value: Any) -> Any:
    # kombu makes objects of dictionaries with certain keys, wherever they lie; no value of ours is a container.
    return type(value)() if isinstance(value, dict | list) else value


def _task_id(value: Any) -> str:
    is_usable = isinstance(value, str) and 0 < len(value) <= _MAX_TASK_ID_CHARS and value.isprintable()
    return value if is_usable and value.isascii() else str(uuid.uuid4())


def _count(value: Any) -> int:
    return min(value, _MAX_COUNT) if isinstance(value, int) and value > 0 else 0


def _eta(headers: dict[str, Any], max_countdown_s: float) -> str | None:
    """Return when a retry is to run (ISO 8601, UTC), not too far away; None for now, and for what is no retry."""
    value = headers.get("eta")
    if not isinstance(value, str) or not _count(headers.get("retries")):
        return None
    now = datetime.now(UTC)
    try:
        eta = datetime.fromisoformat(value)
        eta = (eta if eta.tzinfo else eta.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: the year 1, east of Greenwich
        return None
    return min(eta, now + timedelta(seconds=max_countdown_s)).isoformat() if eta > now else None
