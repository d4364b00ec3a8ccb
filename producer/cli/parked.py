"""`clipqueue parked`: lists, requeues and drops messages that were no valid jobs or whose failure was not recorded."""

from __future__ import annotations

import json
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from producer.cli.output import fail
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.contract.errors import ClipqueueError
from producer.contract.text import printable
from producer.operations.parked import count_dropped, count_parked, drop_parked, read_parked, requeue_parked
from producer.operations.text import count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from producer.operations.parked import ParkedMessage

_NO_ANSWER = "did not answer"


@click.group()
def parked() -> None:
    """List, requeue or drop messages that were no valid jobs, or whose failure MongoDB refused to record."""


def _selection(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments that choose messages: ids, or all."""
    all_option = click.option("--all", "every", is_flag=True, help="All parked messages.")
    return click.argument("ids", nargs=-1, metavar="ID...")(all_option(command))


@parked.command(name="list")
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Maximum number to show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per message, one per line.")
def list_(limit: int, *, as_json: bool) -> None:
    """List the parked messages, newest first: id, time, size, reason, and the start of the item.

    The queries of URLs are left out. The exit code is 0 even if messages are parked.
    """
    with _broker() as broker, broker.commands(_NO_ANSWER) as redis:
        messages, count = read_parked(redis, limit), count_parked(redis)
    for message in messages:
        click.echo(_as_json(message) if as_json else message.described())
    if count > len(messages):
        click.echo(f"{len(messages):,} of {count_of(count, 'parked message')} shown; see --limit", err=True)
    elif not count and not as_json:
        click.echo("no message was parked")


@parked.command()
@_selection
def requeue(ids: tuple[str, ...], *, every: bool) -> None:
    """Put parked messages on the queue again, behind the waiting jobs. Use it after an upgrade of the workers.

    A message that is still no valid job is parked again. A message of which only a part was kept is refused. The exit
    code is 0 if every chosen message was requeued, else 1.
    """
    _require_choice(ids, every=every)
    with _broker() as broker, broker.commands("did not requeue all messages") as redis:
        chosen, is_complete = _choose(redis, ids, every=every)
        fit = [message for message in chosen if message.obstacle is None]
        count = requeue_parked(redis, fit)
    for message in chosen:
        if message.obstacle is not None:
            click.echo(f"{message.id} cannot be requeued: {message.obstacle}", err=True)
    click.echo(f"requeued {count_of(count, 'parked message')}")
    sys.exit(0 if is_complete and len(fit) == len(chosen) else 1)


@parked.command()
@_selection
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def drop(ids: tuple[str, ...], *, every: bool, yes: bool) -> None:
    """Delete parked messages, after a confirmation.

    If none is left, the count of messages that were dropped for lack of space is deleted too. The exit code is 0 if
    every chosen message was deleted, else 1.
    """
    _require_choice(ids, every=every)
    with _broker() as broker:
        with broker.commands(_NO_ANSWER) as redis:
            chosen, is_complete = _choose(redis, ids, every=every)
            dropped = count_dropped(redis)
        if not chosen and not (every and dropped):
            click.echo("no message was deleted")
            sys.exit(0 if is_complete else 1)
        if not yes:
            counted = f" and the count of {dropped:,} that were dropped" if every and dropped else ""
            _confirm(f"{count_of(len(chosen), 'parked message')}{counted} at {broker.host}")
        with broker.commands("did not delete all messages") as redis:
            count = drop_parked(redis, chosen)
    click.echo(f"deleted {count_of(count, 'parked message')}")
    sys.exit(0 if is_complete else 1)


@contextmanager
def _broker() -> Iterator[Broker]:
    try:
        with closing(Broker(redis_url_from_env())) as broker:
            yield broker
    except ClipqueueError as exc:
        fail(str(exc))


def _require_choice(ids: tuple[str, ...], *, every: bool) -> None:
    if bool(ids) == every:
        raise click.UsageError("Give either ids or --all.")


def _choose(redis: Redis, ids: tuple[str, ...], *, every: bool) -> tuple[list[ParkedMessage], bool]:
    """Return the chosen messages, and whether every id was found. Prints the other ids."""
    messages = read_parked(redis)
    if every:
        return messages, True
    unknown = set(ids) - {message.id for message in messages}
    for one in sorted(unknown):
        click.echo(f"no parked message has the id {printable(one)!r}", err=True)
    return [message for message in messages if message.id in ids], not unknown


def _confirm(what: str) -> None:
    if not sys.stdin.isatty():
        fail(f"{what} would be deleted; give --yes to delete without a confirmation")
    click.confirm(f"Delete {what}?", abort=True)


def _as_json(message: ParkedMessage) -> str:
    return json.dumps(
        {
            "id": message.id,
            "parked_at": message.at.isoformat() if message.at else None,
            "reason": message.reason,
            "bytes": message.size,
            "can_be_requeued": message.obstacle is None,
            "start": message.shown(),
        }
    )
