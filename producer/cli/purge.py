"""`clipqueue purge`: forgets what waits on the queue, or what was parked."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from producer.cli.output import fail
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.contract.errors import ClipqueueError
from producer.contract.names import IMAGE_QUEUE, PARKED_LIST
from producer.operations.doctor.findings import count_of

if TYPE_CHECKING:
    from redis import Redis


@click.command()
@click.option(
    "--parked", is_flag=True, help="Forget what came off the queue that was no job, and leave the queue alone."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(*, parked: bool, yes: bool) -> None:
    """Delete all messages that wait on the queue; asks first. Jobs that workers have taken run on.

    Documents stay as they are: those that lack a vector can be queued again by a sweep or a backfill.
    """
    key, noun = (PARKED_LIST, "parked message") if parked else (IMAGE_QUEUE, "waiting message")
    try:
        with closing(Broker(redis_url_from_env())) as broker:
            if not yes:
                _ask(broker, key, noun)
            with broker.commands("did not purge") as redis:
                count = _delete(redis, key)
    except ClipqueueError as exc:
        fail(str(exc))
    click.echo(f"deleted {count_of(count, noun)}")
    if count and not parked:
        click.echo(
            "No document was changed. To queue again what lacks a vector: clipqueue backfill, or sweep.", err=True
        )


def _ask(broker: Broker, key: str, noun: str) -> None:
    with broker.commands("did not answer") as redis:
        count: Any = redis.llen(key)
    what = f"{count_of(count, noun)} of {broker.host}"
    if not count:
        click.echo(f"there is no {noun} at {broker.host}")
        sys.exit(0)
    if not sys.stdin.isatty():
        fail(f"{what} would be deleted; give --yes to do so without being asked")
    click.confirm(f"Delete {what}?", abort=True)


def _delete(redis: Redis, key: str) -> int:
    # In one transaction, so that the number is right whoever enqueues meanwhile. UNLINK, unlike DEL, frees a long list
    # without keeping others waiting.
    pipeline = redis.pipeline(transaction=True)
    pipeline.llen(key)
    pipeline.unlink(key)
    count: int = pipeline.execute()[0]
    return count
