"""`clipqueue sweep`: one sweep, or one after another until the process is told to stop."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import click

from producer.cli.collection import collection_option, opened_collection
from producer.cli.output import fail
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.contract.errors import BrokerUnavailable, ClipqueueError, ConfigurationError, StoreUnavailable
from producer.operations.workers import check_same_collection

if TYPE_CHECKING:
    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.sweep import Sweeper, Swept

_SHOWN = 5
_FULL_PAUSE_S = 2.0


@click.command()
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0, min_open=True),
    envvar="CLIPQUEUE_SWEEP_EVERY_S",
    show_envvar=True,
    metavar="SECONDS",
    help="Sweep again and again with this pause, until SIGTERM or Ctrl-C; without it, once.",
)
@click.option(
    "--age",
    "age_s",
    type=click.FloatRange(min=0),
    envvar="CLIPQUEUE_SWEEP_AGE_S",
    show_envvar=True,
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Queue what has been owed a vector for so long, and no document twice within that time.",
)
@click.option(
    "--max-queued",
    type=click.IntRange(min=1),
    envvar="CLIPQUEUE_SWEEP_MAX_QUEUED",
    show_envvar=True,
    default=1000,
    show_default=True,
    help="Queue nothing while this many jobs wait or are in flight.",
)
@click.option(
    "--url-field",
    envvar="CLIPQUEUE_URL_FIELD",
    show_envvar=True,
    default="url",
    show_default=True,
    help="Where a document that was never enqueued has its URL, such as media.imageUrl.",
)
@collection_option
def sweep(every_s: float | None, age_s: float, max_queued: int, url_field: str, collection: str) -> None:
    """Queue again what is owed a vector: recorded jobs that have not ended, and documents with a URL and no result.

    It heals what a worker killed with -9 or a Redis that lost its memory has lost. Several may run at once.
    """
    try:
        with (
            opened_collection("clipqueue sweep", collection) as documents,
            closing(Broker(redis_url_from_env())) as broker,
        ):
            from producer.operations.requeue.sweep import Sweeper, SweepOptions  # noqa: PLC0415  (needs bson)

            sweeper = Sweeper(broker, documents, SweepOptions(age_s, max_queued, url_field))
            if every_s is None:
                check_same_collection(broker, documents)
                _report(sweeper.sweep())
            else:
                _sweep_until_stopped(sweeper, every_s, broker, documents)
    except ClipqueueError as exc:
        fail(str(exc))


def _sweep_until_stopped(sweeper: Sweeper, every_s: float, broker: Broker, documents: ImageDocuments) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):  # process 1 of a container ignores what has no handler
        signal.signal(number, lambda *_: sys.exit(0))
    away = ""
    while True:
        pause_s = every_s
        try:
            check_same_collection(broker, documents)
            swept = sweeper.sweep()
            _report(swept)
            away = ""
            if swept and swept.is_full and swept.queued:  # what was lost is not to wait for the next round
                pause_s = min(every_s, _FULL_PAUSE_S)
        except (BrokerUnavailable, StoreUnavailable, ConfigurationError) as exc:
            if type(exc).__name__ != away:  # once for each outage
                click.echo(f"{exc}; sweeping goes on when that is over", err=True)
            away = type(exc).__name__
        time.sleep(pause_s)


def _report(swept: Swept | None) -> None:
    if swept is None:
        click.echo("another sweep of this collection is running")
        return
    if swept.is_full and not swept.queued:
        click.echo("queued again: 0, since enough jobs wait; a later sweep looks again")
        return
    for complaint in swept.complaints[:_SHOWN]:
        click.echo(complaint, err=True)
    if more := swept.complaints[_SHOWN:]:
        click.echo(f"and {len(more)} more", err=True)
    counts = f"queued again: {swept.queued}, owed but not due: {swept.not_due}, unusable: {swept.unusable}"
    click.echo(counts + ("; the queue is full, the rest comes with a later sweep" if swept.is_full else ""))
