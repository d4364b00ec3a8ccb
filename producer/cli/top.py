"""`clipqueue top`: a live view of the queue, the workers and the failures in the terminal."""

from __future__ import annotations

import os
import sys
from contextlib import closing

import click

from producer.cli.collection import collection_option
from producer.cli.numbers import Number
from producer.cli.output import CANNOT_TELL, fail, fail_without_extra
from producer.cli.stats_output import as_block
from producer.client.broker import Broker
from producer.client.environment import mongodb_uri, redis_url_from_env
from producer.contract.errors import ClipqueueError
from producer.operations.stats.rates import History
from producer.operations.stats.reading import QueueReader

_EVERY_S = 2.0


@click.command()
@click.option(
    "--every",
    "every_s",
    type=Number(min=1),
    default=_EVERY_S,
    show_default=True,
    help="Seconds between two readings of the queue.",
)
@collection_option
def top(every_s: float, collection: str) -> None:
    """Show the queue, the workers and the failures live, and retry failures.

    Needs the extra `top`. The key ? shows the other keys. Without a terminal, the figures of `clipqueue stats` are
    printed once. Without MONGODB_URI, failed images are neither shown nor retried.

    The exit code is 0; 3 if there is no terminal and Redis does not answer; and 128 plus the number of a signal that
    ended it.
    """
    try:
        from producer.top import opening, terminal  # noqa: PLC0415  (not part of the base install)
    except ImportError:
        fail_without_extra("clipqueue top", "top")
    try:
        url = redis_url_from_env()
        if why := terminal.obstacle(os.environ):
            _print_once(url, why)
            return
        with opening.open_top(url, mongodb_uri(), collection, every_s) as program:
            code = terminal.run(program)
            if program.retry and program.retry.is_running:
                click.echo(f"clipqueue: {program.retry.interrupted}", err=True)
            sys.exit(code)
    except ClipqueueError as exc:
        fail(str(exc), CANNOT_TELL)


def _print_once(url: str, why: str) -> None:
    with closing(Broker(url)) as broker:
        reading = QueueReader(broker).read()
    history = History()
    click.echo(as_block(reading, history.add(reading), history.growth))
    click.echo(f"clipqueue: {why}, so this was printed once; clipqueue stats --watch prints it regularly", err=True)
