"""The trace in which a program enqueues, if OpenTelemetry or Sentry traces it.

It imports neither of them first. `enqueue` calls it for each job; without both it costs two look-ups.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from ..contract.trace import NO_TRACE, Trace, read_trace


def current_trace() -> Trace:
    """Return the headers of the current trace; those of no trace if there is none, or if its library fails."""
    otel, sentry = sys.modules.get("opentelemetry.trace"), sys.modules.get("sentry_sdk")
    if otel is None and sentry is None:
        return NO_TRACE
    headers: dict[str, str] = {}
    # Whatever these libraries raise, now or in a later version, the job is enqueued.
    with suppress(Exception):
        _add_opentelemetry(otel, headers)
    with suppress(Exception):
        _add_sentry(sentry, headers)
    return read_trace(headers)


def _add_opentelemetry(trace: Any, headers: dict[str, str]) -> None:
    if trace is None or not trace.get_current_span().get_span_context().is_valid:
        return
    from opentelemetry import propagate  # noqa: PLC0415  (a program that only imports it pays nothing)

    propagate.inject(headers)


def _add_sentry(sdk: Any, headers: dict[str, str]) -> None:
    if sdk is None or not sdk.is_initialized():
        return
    if value := sdk.get_traceparent():
        headers["sentry-trace"] = value
    # As Sentry's own integrations do: its members, and those of others.
    others = [member for member in headers.get("baggage", "").split(",") if member.strip()[:7] not in ("", "sentry-")]
    if members := [*others, *filter(None, [sdk.get_baggage()])]:
        headers["baggage"] = ",".join(members)
