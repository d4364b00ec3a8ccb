"""`celery -A tests.support.breaking_app worker`: a worker with the fake encoder that breaks on SIGUSR1.

The variable `BREAKS` names the part that breaks. All parts may stand still for a few seconds only, so that the watchdog
is soon done. With `SENTRY` and `SPANS`, it has the libraries that an operator may have added, set up as theirs say.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from celery.signals import worker_ready
from kombu.asynchronous import get_event_loop

from tests.support.breaking import BREAKS, SENTRY, SPANS
from tests.support.fake_encoder_app import app
from worker.broker import transport
from worker.lifecycle import heartbeat, watched
from worker.queries import inbox

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app"]

watched.RED_S, watched.END_S, watched._MARGIN_S = 5.0, 8.0, 2.0
# What shows that a part moves has to come more often.
transport._WAIT_S, inbox.WAIT_S, heartbeat._HEARTBEAT_INTERVAL_S = 1, 1.0, 1.0
app.state.redis.fresh_s = 3.0


class _EndOfThread(BaseException):
    """What no code of a model thread catches."""


def _hang_loop() -> None:
    # Not in the signal handler, which may have interrupted the main thread while it held a lock that others need.
    get_event_loop().call_soon(time.sleep, 600)  # type: ignore[union-attr]


def _stop_asking() -> None:
    """What Celery's issue 8030 looks like from inside: the loop turns, remote control works, no message is taken."""
    transport.Channel._brpop_start = lambda *_: None  # type: ignore[method-assign]


def _end_model_thread() -> None:
    def fail(_: Any) -> None:
        raise _EndOfThread

    app.runtime.batcher._encode = fail  # type: ignore[assignment, method-assign]


def _stop_store() -> None:
    loop = app.runtime.store._store._connection.loop  # type: ignore[attr-defined]
    loop.call_soon_threadsafe(loop.stop)


def _start_no_process() -> None:
    sys.executable = "/nonexistent/python"
    app.runtime.decoder.close()
    for _ in range(app.runtime.decoder.processes):
        app.runtime.decoder._idle.put(None)


def _hang_jobs() -> None:
    app.runtime.fetcher.fetch = lambda _: threading.Event().wait()  # type: ignore[assignment, method-assign, return-value]


def _end_lane() -> None:
    def fail() -> Any:
        raise _EndOfThread

    app.runtime.lane._inbox.take = fail  # type: ignore[union-attr, method-assign]


def _start_sentry(dsn: str) -> None:
    import sentry_sdk  # noqa: PLC0415

    sentry_sdk.init(dsn=dsn)


def _start_spans(path: str) -> None:
    """End a span that is exported in ten minutes, into a file, unless it is flushed."""
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter  # noqa: PLC0415

    exporter = ConsoleSpanExporter(out=open(path, "w"))  # noqa: SIM115, PTH123  (open until the process ends)
    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(  # type: ignore[attr-defined]
        BatchSpanProcessor(exporter, schedule_delay_millis=600_000)
    )
    with trace.get_tracer("tests").start_as_current_span("the last span"):
        pass


_BREAKS: dict[str, Callable[[], None]] = {
    "loop": _hang_loop,
    "consumer": _stop_asking,
    "model thread": _end_model_thread,
    "store": _stop_store,
    "decoder": _start_no_process,
    "jobs": _hang_jobs,
    "lane": _end_lane,
}


@worker_ready.connect
def _listen(**_: Any) -> None:
    if part := _BREAKS.get(os.environ.get(BREAKS, "")):
        signal.signal(signal.SIGUSR1, lambda *_: part())  # Celery has set its own handler before


if dsn := os.environ.get(SENTRY):
    _start_sentry(dsn)
if path := os.environ.get(SPANS):
    _start_spans(path)
