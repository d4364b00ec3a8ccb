"""Validates each item popped from the queue, and rebuilds it as a message that Celery can process safely.

Celery and kombu trust their messages. An item that is not JSON, a body that is not base64 or a header of the wrong type
crashes an unmodified worker, and Celery follows any callback, exchange and ETA in a message. So only a task id, four
keyword arguments, three counts (retries, retries that were not the host's doing, lost workers), an ETA and the headers
of a trace are copied, if they are valid.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from producer.contract.errors import InvalidJob
from producer.contract.ids import parse_image_id, wire_id
from producer.contract.job import JOB_KEYS
from producer.contract.message import task_message
from producer.contract.names import IMAGE_TASK
from producer.contract.trace import read_trace
from worker.broker.retries import OWN_RETRIES_HEADER
from worker.broker.scripts import LOST_HEADER

# The longest URL and id, in characters that JSON escapes as twelve bytes, make a message of about 200,000 bytes:
# 148,000 of the body in base64, and 49,000 of the arguments that Flower shows. The headers of a trace add up to 4,000.
MAX_MESSAGE_BYTES = 262_144

_MAX_COUNT = 1_000_000
_MAX_TASK_ID_CHARS = 255
_BODY_PARTS = 3


class InvalidMessage(Exception):
    """The item cannot be a job. The message says why, without repeating the item."""


def validate_message(item: bytes, size: int | None = None) -> dict[str, Any]:
    """Return the message as our own producer would have written it (`producer.contract.message`).

    It gets a new delivery tag, because two unacked messages with the same tag would overwrite each other.

    Args:
        item: The item of the Redis list.
        size: The size of the whole item in bytes, if `item` is only its beginning.

    Raises:
        InvalidMessage: The item is not a Celery message, its task is unknown, or its image id cannot be read.
    """
    if (size or len(item)) > MAX_MESSAGE_BYTES:
        raise InvalidMessage(f"the item has {size or len(item)} bytes; the maximum is {MAX_MESSAGE_BYTES}")
    payload = _as_object(_parse(item, "the item"), "the item")
    headers = _as_object(payload.get("headers"), "`headers`")
    if headers.get("task") != IMAGE_TASK:
        raise InvalidMessage("`headers.task` is not a task of this queue")
    kwargs = _read_kwargs(payload)
    message = task_message(kwargs, _read_task_id(headers.get("id")), {})
    message["headers"].update(
        {
            "retries": _read_count(headers.get("retries")),
            "eta": _read_eta(headers),
            OWN_RETRIES_HEADER: _read_count(headers.get(OWN_RETRIES_HEADER)),
            LOST_HEADER: _read_count(headers.get(LOST_HEADER)),
        }
    )
    # OpenTelemetry reads them at the top, and Sentry in the object `headers` of the headers.
    if trace := read_trace(headers, headers.get("headers")):
        message["headers"].update(trace, headers=dict(trace))
    return message


def _parse(content: bytes, what: str) -> Any:
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError:
        raise InvalidMessage(f"{what} is not UTF-8 text") from None
    except (ValueError, RecursionError) as exc:  # numbers of thousands of digits, brackets nested thousands deep
        raise InvalidMessage(f"{what} is not JSON ({type(exc).__name__})") from None


def _as_object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidMessage(f"{what} is not an object")
    return value


def _read_kwargs(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the contract's keyword arguments. Only the image id is checked; the task checks the others."""
    if payload.get("content-type") != "application/json":
        raise InvalidMessage("`content-type` is not application/json")
    body = payload.get("body")
    if not isinstance(body, str):
        raise InvalidMessage("`body` is not a string")
    properties = _as_object(payload.get("properties"), "`properties`")
    try:
        content = (
            base64.b64decode(body, validate=True) if properties.get("body_encoding") == "base64" else body.encode()
        )
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII, lone surrogates
        raise InvalidMessage("`body` does not match `properties.body_encoding`") from None
    parts = _parse(content, "`body`")
    if not isinstance(parts, list) or len(parts) != _BODY_PARTS or not isinstance(parts[1], dict):
        raise InvalidMessage("`body` is not [arguments, keyword arguments, options]")
    kwargs = {key: _without_containers(parts[1][key]) for key in JOB_KEYS if key in parts[1]}
    try:
        image_id = parse_image_id(parts[1].get("image_id"))
    except InvalidJob as exc:
        raise InvalidMessage(f"without an image id, no document can be found: {exc}") from None
    return {**kwargs, "image_id": wire_id(image_id)}


def _without_containers(value: Any) -> Any:
    # kombu turns dictionaries with certain keys into Python objects, at any depth. So every object or list becomes an
    # empty one. Only `image_id` may be an object, and the caller rebuilds it.
    return type(value)() if isinstance(value, dict | list) else value


def _read_task_id(value: Any) -> str:
    is_usable = isinstance(value, str) and 0 < len(value) <= _MAX_TASK_ID_CHARS and value.isprintable()
    return value if is_usable and value.isascii() else str(uuid.uuid4())


def _read_count(value: Any) -> int:
    return min(value, _MAX_COUNT) if isinstance(value, int) and value > 0 else 0


def _read_eta(headers: dict[str, Any]) -> str | None:
    """Return a retry's ETA (ISO 8601, UTC), which workers of earlier versions set; None if it has none."""
    value = headers.get("eta")
    if not isinstance(value, str) or not _read_count(headers.get("retries")):
        return None
    try:
        eta = datetime.fromisoformat(value)
        return (eta if eta.tzinfo else eta.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):  # OverflowError: year 1 in a time zone ahead of UTC
        return None
