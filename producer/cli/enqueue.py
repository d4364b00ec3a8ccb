"""`clipqueue enqueue`: puts URLs from the command line or a file on the queue."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

import click

from producer.cli.output import fail
from producer.client.client import EmbeddingClient
from producer.client.queue import chunked
from producer.contract.errors import BrokerUnavailable, ClipqueueError, StoreUnavailable
from producer.operations.rows import check_rows, read_rows, rows_of_urls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from producer.contract.errors import InvalidJob
    from producer.operations.rows import Row


@click.command()
@click.argument("urls", nargs=-1, metavar="URL...")
@click.option("--id", "image_id", help="The _id of the document that gets the vector (one URL only).")
@click.option("--object-id", is_flag=True, help="The ids are ObjectIds (24 hex digits), not strings.")
@click.option(
    "--from",
    "source",
    type=click.File("r", encoding="utf-8-sig", errors="surrogateescape"),
    metavar="FILE",
    help="Read lines of `URL` or CSV `id,url` from FILE; - is standard input.",
)
@click.option("--force", is_flag=True, help="Embed again even if the document already has the vector.")
@click.option("--record", is_flag=True, help="Record each job in its document first, for `clipqueue sweep`.")
def enqueue(  # noqa: PLR0913  (one for each option)
    urls: tuple[str, ...],
    image_id: str | None,
    source: TextIO | None,
    *,
    object_id: bool,
    force: bool,
    record: bool,
) -> None:
    """Enqueue images and print the id of each document, one per line.

    Without an id, the id is made from the URL, so that the same URL always gets the same document. Invalid rows are
    reported and skipped, and the exit code is then 1.
    """
    if bool(urls) == bool(source):
        raise click.UsageError("Give either URLs or --from FILE.")
    if image_id is not None and len(urls) != 1:
        raise click.UsageError("--id needs exactly one URL.")
    rows = _RowReader(read_rows(source) if source else rows_of_urls(urls, image_id), object_ids=object_id)
    count = 0
    try:
        with EmbeddingClient.from_env() as client:
            for chunk in chunked(rows):
                pairs = [(wire_id, row.url) for row, wire_id in chunk]
                count += client.enqueue_many(pairs, force=force, record=record)
                _print_ids(row.image_id for row, _ in chunk)
    except (BrokerUnavailable, StoreUnavailable) as exc:
        fail(f"{exc} (enqueued so far: {count}, invalid rows: {rows.invalid})")
    except ClipqueueError as exc:
        fail(str(exc))
    click.echo(f"enqueued {count}, invalid rows {rows.invalid}", err=True)
    sys.exit(1 if rows.invalid else 0)


class _RowReader:
    """Yields the valid rows; prints and counts the others."""

    def __init__(self, rows: Iterable[Row], *, object_ids: bool) -> None:
        self._rows = rows
        self._object_ids = object_ids
        self.invalid = 0

    def __iter__(self) -> Iterator[tuple[Row, Any]]:
        return check_rows(self._rows, self._reject, object_ids=self._object_ids)

    def _reject(self, row: Row, error: InvalidJob) -> None:
        self.invalid += 1
        click.echo(f"{row.source}: {error}", err=True)


def _print_ids(image_ids: Iterable[str]) -> None:
    try:
        click.echo("\n".join(image_ids))
    except BrokenPipeError:
        # The program that reads the ids has ended, as in `clipqueue enqueue | head`. The other jobs are still enqueued.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
