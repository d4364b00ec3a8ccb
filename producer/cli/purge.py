"""`clipqueue purge`: deletes the messages on the queue, or the parked ones."""

from __future__ import annotations

import sys
from contextlib import closing

import click

from producer.cli.output import fail
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.contract.errors import ClipqueueError
from producer.contract.names import IMAGE_QUEUE, PARKED_LIST
from producer.operations.purge import Purged, count_messages, delete_parked, purge_queue
from producer.operations.text import count_of


@click.command()
@click.option(
    "--parked", is_flag=True, help="Delete the parked messages, which are not valid jobs, and keep the queue."
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def purge(*, parked: bool, yes: bool) -> None:
    """Delete all messages that wait on the queue, after a confirmation. Jobs in flight continue.

    The progress of backfills and retries is deleted too, so that the next run reads all documents again, and what
    sweeps have enqueued. Documents are not changed. A running sweep enqueues recorded jobs again.
    """
    key, noun = (PARKED_LIST, "parked message") if parked else (IMAGE_QUEUE, "waiting message")
    try:
        with closing(Broker(redis_url_from_env())) as broker:
            if not yes:
                _confirm(broker, key, noun)
            purged = Purged(delete_parked(broker), 0, has_sweeps=False) if parked else purge_queue(broker)
    except ClipqueueError as exc:
        fail(str(exc))
    click.echo(f"deleted {count_of(purged.messages, noun)}")
    if not parked:
        _print_forgotten(purged)


def _print_forgotten(purged: Purged) -> None:
    if purged.backfills:
        click.echo(
            f"forgot the progress of {count_of(purged.backfills, 'backfill')}: the next run reads all documents again",
            err=True,
        )
    if purged.has_sweeps:
        click.echo("forgot what sweeps have enqueued: the next one enqueues recorded jobs again", err=True)
    if purged.messages:
        click.echo(
            "No document was changed. To enqueue those without a vector again: clipqueue backfill; for those that have "
            "failed: clipqueue retry",
            err=True,
        )


def _confirm(broker: Broker, key: str, noun: str) -> None:
    count = count_messages(broker, key)
    if not count:
        click.echo(f"there is no {noun} at {broker.host}")
        sys.exit(0)
    what = f"{count_of(count, noun)} at {broker.host}"
    if not sys.stdin.isatty():
        fail(f"{what} would be deleted; give --yes to delete without a confirmation")
    click.confirm(f"Delete {what}?", abort=True)
