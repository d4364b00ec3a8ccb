"""`clipqueue purge`: deletes the messages on the queue, or the parked ones."""

from __future__ import annotations

import sys
from contextlib import closing

import click

from producer.cli.output import fail
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.contract.errors import ClipqueueError
from producer.operations.parked import count_parked
from producer.operations.purge import Purged, count_queue, delete_parked, purge_queue
from producer.operations.text import count_of


@click.command()
@click.option(
    "--parked", is_flag=True, help="Delete the parked messages, which are not valid jobs, and keep the queue."
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def purge(*, parked: bool, yes: bool) -> None:
    """Delete all messages that wait on the queue or for a retry, after a confirmation. Jobs in flight continue.

    The progress of backfills and retries is deleted too, so that the next run reads all documents again, and what
    sweeps have enqueued. Documents are not changed. A running sweep enqueues recorded jobs again.
    """
    try:
        with closing(Broker(redis_url_from_env())) as broker:
            if parked:
                _purge_parked(broker, is_confirmed=yes)
            else:
                _purge_queue(broker, is_confirmed=yes)
    except ClipqueueError as exc:
        fail(str(exc))


def _purge_parked(broker: Broker, *, is_confirmed: bool) -> None:
    if not is_confirmed:
        with broker.commands("did not answer") as redis:
            count = count_parked(redis)
        _confirm(broker, count_of(count, "parked message") if count else "", "parked")
    click.echo(f"deleted {count_of(delete_parked(broker), 'parked message')}")


def _purge_queue(broker: Broker, *, is_confirmed: bool) -> None:
    if not is_confirmed:
        found = count_queue(broker)
        progress = f" and the progress of {count_of(found.backfills, 'backfill')}" if found.backfills else ""
        is_empty = not (found.waiting or found.delayed or progress)
        _confirm(broker, "" if is_empty else _messages(found) + progress, "waiting")
    purged = purge_queue(broker)
    click.echo(f"deleted {_messages(purged)}")
    _print_forgotten(purged)


def _messages(found: Purged) -> str:
    if not found.delayed:
        return count_of(found.waiting, "waiting message")
    return f"{found.waiting:,} waiting and {count_of(found.delayed, 'delayed message')}"


def _print_forgotten(purged: Purged) -> None:
    if purged.backfills:
        click.echo(
            f"forgot the progress of {count_of(purged.backfills, 'backfill')}: the next run reads all documents again",
            err=True,
        )
    if purged.has_sweeps:
        click.echo("forgot what sweeps have enqueued: the next one enqueues recorded jobs again", err=True)
    if purged.waiting or purged.delayed:
        click.echo(
            "No document was changed. To enqueue those without a vector again: clipqueue backfill; for those that have "
            "failed: clipqueue retry",
            err=True,
        )


def _confirm(broker: Broker, what: str, kind: str) -> None:
    """Ask whether to delete `what`; exit with 0 if it is nothing."""
    if not what:
        click.echo(f"there is no {kind} message at {broker.host}")
        sys.exit(0)
    if not sys.stdin.isatty():
        fail(f"{what} at {broker.host} would be deleted; give --yes to delete without a confirmation")
    click.confirm(f"Delete {what} at {broker.host}?", abort=True)
