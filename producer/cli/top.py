"""`clipqueue top`: a live view of the queue, the workers and the failures in the terminal."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from producer.top.app import Top
    from producer.top.state import State

_EVERY_S = 2.0
# A hung server holds up neither the keys nor the end of the program, since it is asked in a thread.
_TIMEOUT_S = 5.0


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

    Needs the extra `top`. The key ? shows the other keys. Without a terminal, the same figures as those of `clipqueue
    stats` are printed once. Without MONGODB_URI, failures are not shown.

    The exit code is 0, 3 if there is no terminal and Redis does not answer, and 128 plus the signal's number if a
    signal ended it.
    """
    try:
        from producer.top import terminal  # noqa: PLC0415  (not part of the base install)
        from producer.top.app import Top  # noqa: F401, PLC0415
    except ImportError:
        fail_without_extra("clipqueue top", "top")
    try:
        url = redis_url_from_env()
        if why := terminal.obstacle(os.environ):
            _print_once(url, why)
            return
        with ExitStack() as opened:
            program = _open(opened, url, collection, every_s)
            code = terminal.run(program)
    except ClipqueueError as exc:
        fail(str(exc), CANNOT_TELL)
    if (retry := program.retry) and retry.is_running:
        click.echo(f"clipqueue: {retry.interrupted}", err=True)
    sys.exit(code)


def _open(opened: ExitStack, url: str, collection: str, every_s: float) -> Top:
    """Return the program with its connections, which are made at the first use."""
    from producer.documents.connection import connect_collection  # noqa: PLC0415  (needs pymongo)
    from producer.documents.failures import SOCKET_TIMEOUT_S  # noqa: PLC0415
    from producer.top import terminal  # noqa: PLC0415
    from producer.top.app import Top  # noqa: PLC0415
    from producer.top.failures import FailureReader  # noqa: PLC0415
    from producer.top.retry import Servers  # noqa: PLC0415

    if not terminal.has_colours(os.environ):
        os.environ["NO_COLOR"] = "1"  # Textual reads it
    broker = opened.enter_context(closing(Broker(url, _TIMEOUT_S)))
    state = _state(broker.host, every_s)
    uri = mongodb_uri()
    if uri is None:
        state.mongodb_problem = "MONGODB_URI is not set"
        return Top(state, broker)
    documents = connect_collection(uri, collection, _TIMEOUT_S, SOCKET_TIMEOUT_S)
    opened.callback(documents.database.client.close)
    return Top(state, broker, FailureReader(documents), Servers(url, uri, collection))


def _state(host: str, every_s: float) -> State:
    from producer.top import terminal  # noqa: PLC0415
    from producer.top.state import State  # noqa: PLC0415
    from producer.top.text import Letters  # noqa: PLC0415

    letters = Letters(ascii_only=terminal.is_ascii_only(os.environ))
    return State(letters.inert(host), every_s, letters)


def _print_once(url: str, why: str) -> None:
    """Print what `clipqueue stats` prints, and why it is not shown live."""
    with closing(Broker(url)) as broker:
        reading = QueueReader(broker).read()
    history = History()
    click.echo(as_block(reading, history.add(reading), history.growth))
    click.echo(f"clipqueue: {why}, so these are the figures of now; clipqueue stats --watch prints them regularly", err=True)


