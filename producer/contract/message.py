"""Builds the Celery message (protocol 2) that kombu's Redis transport expects on a list.

It follows https://docs.celeryq.dev/en/stable/internals/protocol.html and the virtual transport of kombu 5.7. A test
compares every field with the message that Celery's own producer writes.
"""

from __future__ import annotations

import base64
import os
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .job import describe_kwargs
from .names import IMAGE_QUEUE, IMAGE_TASK
from .text import compact_json
from .trace import NO_TRACE, trace_json

if TYPE_CHECKING:
    from .job import ImageJob
    from .trace import Trace

# The third part of the body, which Celery calls "embed".
_NO_CALLBACKS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def image_message(job: ImageJob, task_id: str) -> bytes:
    """Return the message for a job, as bytes to LPUSH on the queue."""
    return message_bytes(job.to_kwargs(), task_id, _new_tag(), _origin(os.getpid()), job.trace)


def message_bytes(
    kwargs: dict[str, Any], task_id: str, delivery_tag: str, origin: str, trace: Trace = NO_TRACE
) -> bytes:
    """Return the message for keyword arguments: compact JSON in ASCII, the same bytes as in the JavaScript package.

    Args:
        kwargs: The task's keyword arguments; must be JSON-serializable.
        task_id: The task's id.
        delivery_tag: kombu's id of the message; no other message may have it.
        origin: Who made the message; Flower shows it.
        trace: Valid headers of a trace. They come last, and are the only headers of which a message may have none.
    """
    message = _template(origin) % {
        "body": _body(kwargs, _NO_CALLBACKS),
        "task_id": task_id,
        "kwargsrepr": compact_json(describe_kwargs(kwargs)),
        "delivery_tag": delivery_tag,
        "trace": trace_json(trace),
    }
    return message.encode()


@lru_cache(maxsize=1)
def _template(origin: str) -> str:
    """Return the parts that all messages of a process share, with placeholders for the rest.

    Building each message from scratch takes three times as long.
    """
    message = task_message({}, "%(task_id)s", {})
    message["body"] = "%(body)s"
    message["headers"]["kwargsrepr"] = "%(kwargsrepr)s"
    message["headers"]["origin"] = origin.replace("%", "%%")
    message["properties"]["delivery_tag"] = "%(delivery_tag)s"
    text = compact_json(message).replace('"%(kwargsrepr)s"', "%(kwargsrepr)s")
    return text.replace('"stamps":{}', '"stamps":{}%(trace)s')


def task_message(kwargs: dict[str, Any], task_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the message that kombu's Redis transport reads.

    Args:
        kwargs: The task's keyword arguments; must be JSON-serializable.
        task_id: The task's id.
        options: The third part of the body: Celery's callbacks and chains.
    """
    return {
        "body": _body(kwargs, options),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": _headers(kwargs, task_id),
        "properties": _properties(task_id),
    }


def _body(kwargs: dict[str, Any], options: dict[str, Any]) -> str:
    return base64.b64encode(compact_json([[], kwargs, options]).encode()).decode()


def _headers(kwargs: dict[str, Any], task_id: str) -> dict[str, Any]:
    return {
        "lang": "py",  # as in Celery's own messages; it says how to read the body, not who wrote it
        "task": IMAGE_TASK,
        "id": task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "parent_id": None,
        "argsrepr": "()",
        # Flower and the worker's events show this text, so it must not contain the query of a signed URL.
        "kwargsrepr": describe_kwargs(kwargs),
        "origin": _origin(os.getpid()),
        "ignore_result": True,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }


@lru_cache(maxsize=1)
def _origin(pid: int) -> str:
    return f"gen{pid}@{socket.gethostname()}"


def _properties(task_id: str) -> dict[str, Any]:
    return {
        "correlation_id": task_id,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": IMAGE_QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": _new_tag(),
    }


def _new_tag() -> str:
    return os.urandom(16).hex()
