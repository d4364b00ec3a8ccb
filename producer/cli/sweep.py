"""`clipqueue sweep`: sweeps once, or repeatedly until it is stopped."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from producer.cli.collection import collection_option, open_documents_for
from producer.cli.numbers import Number
from producer.cli.output import fail, fail_service
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.contract.errors import ClipqueueError
from producer.telemetry.logs import start_log
from producer.telemetry.serving import serving
from producer.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

    from producer.contract.redis_url import RedisUrl
    from producer.operations.requeue.sweep import Sweeper, SweepResult

_LOG = logging.getLogger("clipqueue.sweep")
_DEFAULT_FIELD = "url"
_MAX_PROBLEMS = 5
_SLOW_S = 10.0
# Redis' answer to a scrape has to come within three seconds.
_SCRAPE_S = 2.0


@click.command()
@click.option(
    "--every",
    "every_s",
    type=Number(min=0, min_open=True),
    envvar="CLIPQUEUE_SWEEP_EVERY_S",
    show_envvar=True,
    metavar="SECONDS",
    help="Sweep repeatedly with this pause, until SIGTERM or Ctrl-C; without it, once.",
)
@click.option(
    "--age",
    "age_s",
    type=Number(min=0),
    envvar="CLIPQUEUE_SWEEP_AGE_S",
    show_envvar=True,
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Enqueue documents that have waited this long for a vector; wait as long before enqueuing one again.",
)
@click.option(
    "--max-queued",
    type=click.IntRange(min=1),
    envvar="CLIPQUEUE_SWEEP_MAX_QUEUED",
    show_envvar=True,
    default=1000,
    show_default=True,
    help="Enqueue nothing while this many jobs wait or are in flight, or ten times as many are delayed.",
)
@click.option(
    "--adopt",
    is_flag=True,
    help="Also enqueue documents that were never enqueued: those with a URL and no result, in the field `url` unless "
    "--url-field names another.",
)
@click.option(
    "--url-field",
    envvar="CLIPQUEUE_URL_FIELD",
    show_envvar=True,
    help="The field of the URL in documents that were never enqueued, such as media.imageUrl. Naming it adopts them.",
)
@collection_option
def sweep(  # noqa: PLR0913  (one for each option)
    every_s: float | None, age_s: float, max_queued: int, url_field: str | None, collection: str, *, adopt: bool
) -> None:
    """Enqueue lost jobs again: recorded jobs that have no result.

    A job can be lost when a Redis without persistence restarts. Of each collection, only one sweep runs at a time. With
    --adopt or a URL field, documents that nobody has enqueued are enqueued too. With --every and
    CLIPQUEUE_METRICS_PORT, it serves metrics and its health over HTTP.
    """
    adopt_field = url_field or (_DEFAULT_FIELD if adopt else None)
    try:
        with (
            open_documents_for("clipqueue sweep", collection) as documents,
            closing(Broker(redis_url_from_env())) as broker,
        ):
            from producer.operations.requeue.sweep import Sweeper, SweepOptions  # noqa: PLC0415  (needs bson)

            sweeper = Sweeper(broker, documents, SweepOptions(age_s, max_queued, adopt_field))
            if every_s is None:
                _print_result(sweeper.sweep())
            else:
                _exit_on_signals()
                start_log({_LOG.name: logging.INFO})
                with _serving(sweeper, broker.url):
                    sweeper.sweep_forever(every_s, _log_result, _log_outage)
    except ClipqueueError as exc:
        if every_s is not None:
            fail_service(str(exc))
        fail(str(exc))


@contextmanager
def _serving(sweeper: Sweeper, redis_url: RedisUrl) -> Iterator[None]:
    """Serve the metrics of the sweeps and of the whole queue, and the health, for a block."""
    record = sweeper.record
    with closing(Broker(redis_url, _SCRAPE_S)) as broker:

        def registries() -> dict[str, CollectorRegistry]:
            from producer.operations.requeue.sweep_metrics import sweep_registry  # noqa: PLC0415  (needs the extra)
            from producer.operations.stats.collector import PATH, queue_registry  # noqa: PLC0415

            return {"/metrics": sweep_registry(record), PATH: queue_registry(broker)}

        with serving(TelemetrySettings.from_env(), registries, record.movement.live, record.movement.ready):
            yield


def _exit_on_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):  # PID 1 of a container ignores signals without a handler
        signal.signal(number, lambda *_: sys.exit(0))


def _log_outage(exc: ClipqueueError) -> None:
    _LOG.warning("%s; the next sweep tries again", exc)


def _log_result(result: SweepResult | None) -> None:
    for level, line in _described(result):
        _LOG.log(level, "%s", line)


def _print_result(result: SweepResult | None) -> None:
    for level, line in _described(result):
        click.echo(line, err=level > logging.INFO)


def _described(result: SweepResult | None) -> Iterator[tuple[int, str]]:
    """Yield lines with their levels."""
    if result is None:
        yield logging.INFO, "another sweep of this collection is running"
        return
    if result.slowest_s >= _SLOW_S:
        slow = f"MongoDB is slow: it needed {result.slowest_s:.0f} s for one page."
        yield logging.WARNING, f"{slow} clipqueue index create makes the indexes that sweeps need"
    if result.is_full and not result.queued:
        yield logging.INFO, "queued again: 0, because the queue is full; a later sweep tries again"
        return
    for problem in result.problems[:_MAX_PROBLEMS]:
        yield logging.WARNING, problem
    if more := result.problems[_MAX_PROBLEMS:]:
        yield logging.WARNING, f"and {len(more)} more"
    delayed = f", waiting for a retry: {result.delayed}" if result.delayed else ""
    counts = f"queued again: {result.queued}, not due yet: {result.not_due}{delayed}, unusable: {result.unusable}"
    yield logging.INFO, counts + ("; the queue is full, a later sweep continues" if result.is_full else "")
