"""Sends what Sentry and OpenTelemetry have collected, right before the process ends without Python's own exit.

`os._exit` runs no exit handler, so the report of why the process ends would be lost. Neither library is imported here:
only an operator who uses one has it in the process.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

WITHIN_S = 2.0


def flush_telemetry(within_s: float = WITHIN_S) -> None:
    """Flush Sentry and OpenTelemetry's tracer provider side by side; return after `within_s` seconds at the latest."""
    deadline = time.monotonic() + within_s
    threads = [
        threading.Thread(target=_try, args=(flush, within_s), name=flush.__name__, daemon=True)
        for flush in (_flush_sentry, _flush_spans)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        # Not all exporters keep to the time that they are given: some retry for a minute.
        thread.join(max(0.0, deadline - time.monotonic()))


def _try(flush: Callable[[float], None], within_s: float) -> None:
    try:
        flush(within_s)
    except Exception as exc:  # noqa: BLE001  (the process ends, whatever a library does)
        logger.warning("telemetry was not sent: %s", type(exc).__name__)


def _flush_sentry(within_s: float) -> None:
    if sentry := sys.modules.get("sentry_sdk"):
        sentry.flush(timeout=within_s)


def _flush_spans(within_s: float) -> None:
    if trace := sys.modules.get("opentelemetry.trace"):
        flush = getattr(trace.get_tracer_provider(), "force_flush", None)  # the one without an SDK has none
        if flush:
            flush(int(within_s * 1e3))
