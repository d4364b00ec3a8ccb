"""The options that `clipqueue backfill` and `clipqueue retry` share, and their connections."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from producer.cli.collection import collection_option, open_documents_for
from producer.cli.numbers import Number
from producer.cli.output import fail
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.contract.errors import BrokerUnavailable, ClipqueueError, StoreUnavailable
from producer.operations.workers import check_same_collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.documents.documents import ImageDocuments


@dataclass(frozen=True)
class SharedOptions:
    """The values of the shared options."""

    collection: str
    query: str
    limit: int | None
    rate: float | None
    max_queued: int
    restart: bool
    watch: bool = False
    dry_run: bool = False


def shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the shared options to a command."""
    options = (
        click.option(
            "--query",
            default="{}",
            help='Only documents that match this MongoDB query (Extended JSON): {"kind": "photo"}.',
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), help="Maximum number of jobs; the same command continues later."
        ),
        click.option("--rate", type=Number(min=0, min_open=True), help="Maximum number of jobs per second."),
        click.option(
            "--max-queued",
            type=click.IntRange(min=1),
            default=10_000,
            show_default=True,
            help="Pause while this many jobs wait or are in flight, or ten times as many are delayed.",
        ),
        click.option("--restart", is_flag=True, help="Start from the beginning, not where an earlier run stopped."),
        collection_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def open_connections(command: str, options: SharedOptions) -> Iterator[tuple[ImageDocuments, Broker, Any]]:
    """Yield the documents, the Redis connection and the parsed query.

    An error in the block is printed, and the command exits with 1.
    """
    try:
        with (
            open_documents_for(f"clipqueue {command}", options.collection) as documents,
            closing(Broker(redis_url_from_env())) as broker,
        ):
            check_same_collection(broker, documents)
            yield documents, broker, _read_query(options.query)
    except (BrokerUnavailable, StoreUnavailable) as exc:
        fail(f"{exc} (run the same command again to continue)")
    except ClipqueueError as exc:
        fail(str(exc))


def _read_query(text: str) -> Any:
    import bson  # noqa: PLC0415  (not part of the base install)
    from bson import json_util  # noqa: PLC0415
    from bson.errors import BSONError  # noqa: PLC0415

    # KeyError: a part of a value is missing. ArithmeticError: a number that is none, or has more than 64 bits.
    unreadable = (ValueError, TypeError, KeyError, ArithmeticError, RecursionError, BSONError)
    try:
        query = json_util.loads(text)
        if isinstance(query, dict):
            bson.encode(query)
    except unreadable as exc:
        raise click.UsageError(f"--query is not valid Extended JSON: {exc}") from None
    if not isinstance(query, dict):
        raise click.UsageError('--query must be a JSON object, such as {"kind": "photo"}')
    return query
