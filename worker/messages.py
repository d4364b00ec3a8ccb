"""What stands between Celery's consumer and the task: no message may end the worker, or show what it must not."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.worker.strategy import default

from producer.contract import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Task

logger = logging.getLogger(__name__)


def strategy(task: Task, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Wrap Celery's default execution strategy (`Task.Strategy`).

    Celery takes a message apart on the consumer's own thread: a body that is no list of three would end the
    worker, go back to the queue and end the next one. Here it is logged and dropped.
    """
    handle = default(task, app, consumer, **options)

    def guarded(message: Any, body: Any, *rest: Any, **more: Any) -> Any:
        for name in ("argsrepr", "kwargsrepr"):  # what Flower shows, as another producer may have written it
            if isinstance(shown := message.headers.get(name), str):
                message.headers[name] = redact_text(shown)
        try:
            return handle(message, body, *rest, **more)
        except (TypeError, ValueError, KeyError, AttributeError) as exc:
            # Without its body, which may hold a signed URL.
            logger.error("dropped what is no Celery message of protocol 2: %s", exc)  # noqa: TRY400
            message.reject_log_error(logger, consumer.connection_errors)
            return None

    return guarded
