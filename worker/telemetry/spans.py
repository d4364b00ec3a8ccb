"""Spans of a job's stages, for a worker whose user has set up OpenTelemetry (docs/tracing.md).

It imports nothing of OpenTelemetry, and only looks whether the user has. The run of the task has a span already: that
of OpenTelemetry's own instrumentation for Celery. The stages become its children, and only if it is recorded. The names
of attributes are those of OpenTelemetry's semantic conventions where there are such:
https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/. No attribute has the query of a URL.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from producer.contract.names import IMAGE_QUEUE
from producer.contract.trace import Trace, trace_id_of
from producer.contract.urls import redact_text, redact_url
from worker.errors import JobError, Requeue
from worker.telemetry.never_raises import never_raises

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from worker.telemetry.job_end import JobEnd

_API = "opentelemetry.trace"


@never_raises
def is_traced() -> bool:
    """Return whether the job has a span that is recorded."""
    return _recording_span() is not None


@never_raises
def describe_run(end: JobEnd) -> None:
    """Say in the span of the job's run how it ended. Celery's instrumentation leaves out the code."""
    span = _recording_span()
    if span is None:
        return
    span.set_attributes(
        {
            "messaging.system": "redis",
            "messaging.operation.type": "process",
            "messaging.destination.name": IMAGE_QUEUE,
            "clipqueue.image_id": str(end.image_id),
            "clipqueue.outcome": end.outcome,
            "clipqueue.attempt": end.attempts,
            "clipqueue.batch_size": end.batch_size,
        }
    )
    if end.url is not None:
        span.set_attribute("url.full", redact_url(end.url))
    if end.error is not None:
        _set_error(span, end.error)


@never_raises
def current_trace_id(trace: Trace) -> str | None:
    """Return the id of the current span's trace, else of the message's; None if it has none.

    Args:
        trace: The headers of the message.
    """
    api = sys.modules.get(_API)
    if api is not None:
        context = api.get_current_span().get_span_context()
        if context.is_valid:
            return f"{context.trace_id:032x}"
    return trace_id_of(trace)


def _recording_span() -> Any:
    api = sys.modules.get(_API)
    span = api.get_current_span() if api is not None else None
    return span if span is not None and span.is_recording() else None


@contextmanager
def stage_span(name: str) -> Iterator[None]:
    """Trace a stage of a job that is traced. Raises what the stage raises, and nothing of OpenTelemetry."""
    opened = _open(name)
    try:
        yield
    except Exception as exc:
        if opened:
            _set_error(opened[1], exc)
        raise
    finally:
        if opened:
            _close(opened[0])


@never_raises
def _open(name: str) -> tuple[AbstractContextManager[Any], Any]:
    """Return the block of a new span, which it has entered, and the span."""
    tracer = sys.modules[_API].get_tracer("clipqueue")
    # The error is set by us: by default, its message and traceback would be recorded, which may hold a URL's query.
    block = tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False)
    return block, block.__enter__()


@never_raises
def _close(block: AbstractContextManager[Any]) -> None:
    block.__exit__(None, None, None)


@never_raises
def _set_error(span: Any, error: Exception) -> None:
    """Mark a span as failed. A requeue is no failure: the job runs again, because of the worker's state."""
    if isinstance(error, Requeue):
        span.set_attribute("clipqueue.requeue", type(error).__name__)
        return
    status = sys.modules[_API].StatusCode.ERROR
    if isinstance(error, JobError):
        span.set_attribute("error.type", error.code)
        span.set_status(status, redact_text(str(error)))
    else:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(status, type(error).__name__)
