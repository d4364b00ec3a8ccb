"""What stands between Celery's consumer and the task: messages that Celery itself would stumble over.

Celery takes a message apart before any task runs, on the consumer's own thread and in the pool, and what fails
there ends the worker or occupies a thread's slot for ever.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.worker.strategy import default
from kombu.exceptions import ContentDisallowed, DecodeError

from producer.contract import describe_kwargs

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Task

logger = logging.getLogger(__name__)

_MAX_RETRIES_READ = 1_000_000
_PARTS = 3


def strategy(task: Task, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Wrap Celery's default execution strategy (`Task.Strategy`): a message that is no task is logged and dropped."""
    handle = default(task, app, consumer, **options)

    def guarded(message: Any, body: Any, *rest: Any, **more: Any) -> Any:
        try:
            _prepare(message, body)
            return handle(message, body, *rest, **more)
        except (TypeError, ValueError, KeyError, AttributeError, ContentDisallowed, DecodeError) as exc:
            # Without its body, which may hold a signed URL.
            logger.error("dropped what is no Celery message of protocol 2: %s", exc)  # noqa: TRY400
            message.reject_log_error(logger, consumer.connection_errors)
            return None

    return guarded


def _prepare(message: Any, body: Any) -> None:
    """Check the three parts of the body, and put right what Celery takes from the headers unchecked.

    Raises:
        ValueError: The body is not what Celery would unpack.
    """
    # `body` is given for protocol 1 only, which Celery still takes.
    args, kwargs, embed = (body.get("args"), body.get("kwargs"), None) if body is not None else _parts(message.payload)
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(embed, dict | None):
        raise ValueError("the body is not [list of arguments, keyword arguments, options]")  # noqa: TRY004
    headers = message.headers
    # Flower shows these, whoever wrote them.
    headers.update(argsrepr="()", kwargsrepr=describe_kwargs(kwargs))
    retries = headers.get("retries")
    headers["retries"] = min(retries, _MAX_RETRIES_READ) if isinstance(retries, int) and retries > 0 else 0
    # A retry would carry them on, and Celery trips over wrong ones.
    for name in ("headers", "stamps", "stamped_headers"):
        headers.pop(name, None)


def _parts(payload: Any) -> tuple[Any, Any, Any]:
    if not isinstance(payload, list) or len(payload) != _PARTS:
        raise ValueError("the body is no list of three parts")
    return payload[0], payload[1], payload[2]
