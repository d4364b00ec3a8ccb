"""`clipqueue enqueue`: puts URLs from the command line or a file on the queue."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from producer.cli.enqueue_sender import OutputLost, Sender, end_on_signals, report
from producer.cli.output import fail
from producer.client.client import EmbeddingClient
from producer.client.stop import Stop, Stopped
from producer.contract.errors import BrokerUnavailable, ClipqueueError, StoreUnavailable
from producer.contract.ids import ID_TYPES
from producer.operations.input.columns import Columns
from producer.operations.input.lines import Lines
from producer.operations.input.read import read_rows
from producer.operations.input.rows import UnreadableInput, rows_of_urls

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable

    from producer.operations.input.rows import Row

# A read returns what has arrived, at most this many bytes.
_READ_BYTES = 1 << 20


class _Input(click.File):
    """A file that is read as bytes. A closed standard input is an error, too."""

    def __init__(self) -> None:
        super().__init__("rb")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Open the file."""
        try:
            return super().convert(value, param, ctx)
        except RuntimeError:
            raise click.BadParameter("standard input is closed.", ctx=ctx, param=param) from None


def _read_columns(_: click.Context, __: click.Parameter, text: str | None) -> Columns | None:
    try:
        return None if text is None else Columns.parse(text)
    except ValueError as exc:
        raise click.BadParameter(f"{exc}.") from None


def _read_delimiter(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    delimiter = {"tab": "\t", r"\t": "\t"}.get(text or "", text)
    if delimiter is not None and (len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n:/'):
        raise click.BadParameter("give one character that is no letter, digit or quote, or the word tab.")
    return delimiter


# \b keeps click from joining the lines.
_FORMS = """\b
FILE has UTF-8 text:
  clipqueue enqueue --from urls.txt                               URLs; ids are made from them
  clipqueue enqueue --from photos.csv                             CSV with a header that has known names
  clipqueue enqueue --from shop.csv --columns id=sku,url=picture  CSV with other names
  clipqueue enqueue --from plain.csv --columns url,-,id           CSV without a header
  clipqueue enqueue --from export.csv                             mongoexport's CSV, with ObjectId(...)
  clipqueue enqueue --from numbers.tsv --id-type integer          ids that are no strings
  clipqueue enqueue --from export.json --columns id=_id,url=media.imageUrl
docs/operations.md shows each of these files.
"""


@click.command(epilog=_FORMS)
@click.argument("urls", nargs=-1, metavar="URL...")
@click.option("--id", "image_id", help="The _id of the document that gets the vector (one URL only).")
@click.option(
    "--id-type",
    type=click.Choice(ID_TYPES),
    help="What the ids are. By default, strings, except ObjectId(...) and UUID(...). Ids in JSON keep their type.",
)
@click.option("--object-id", is_flag=True, help="Short for --id-type object-id.")
@click.option("--from", "source", type=_Input(), metavar="FILE", help="Read rows from FILE; - is standard input.")
@click.option(
    "--columns",
    callback=_read_columns,
    help="The columns or JSON fields of the id and the URL: id=NAME,url=NAME. Without a header, all columns in their "
    "order, such as url,id; - is a column that is neither.",
)
@click.option("--delimiter", callback=_read_delimiter, help="The character between columns, or the word tab.")
@click.option("--force", is_flag=True, help="Embed again even if the document already has the vector.")
@click.option("--record", is_flag=True, help="Record each job in its document first, for `clipqueue sweep`.")
def enqueue(  # noqa: PLR0913  (one for each option)
    urls: tuple[str, ...],
    image_id: str | None,
    source: io.BufferedReader | None,
    *,
    columns: Columns | None,
    delimiter: str | None,
    id_type: str | None,
    object_id: bool,
    force: bool,
    record: bool,
) -> None:
    """Enqueue images and print the id of each document, one per line.

    Without an id, the id is made from the URL, so that the same URL always gets the same document. Rows are enqueued as
    they arrive. Invalid rows are reported and skipped, and the exit code is then 1.
    """
    _check_usage(urls, image_id, source, is_table=bool(columns or delimiter))
    if object_id and id_type not in {None, "object-id"}:
        raise click.UsageError("--object-id and --id-type contradict each other.")
    stop = Stop()
    try:
        with EmbeddingClient.from_env() as client, end_on_signals(stop):
            sender = Sender(client, stop, "object-id" if object_id else id_type, force=force, record=record)
            lines = Lines(partial(sender.read, source, _READ_BYTES)) if source else None
            _send(sender, read_rows(lines, columns, delimiter) if lines else rows_of_urls(urls, image_id))
    except ClipqueueError as exc:
        fail(str(exc))
    comments = f", comments {lines.comments}" if lines and lines.comments else ""
    report(f"enqueued {sender.enqueued}, invalid rows {sender.invalid}{comments}")
    sys.exit(1 if sender.invalid else 0)


def _check_usage(urls: tuple[str, ...], image_id: str | None, source: object, *, is_table: bool) -> None:
    if bool(urls) == bool(source):
        raise click.UsageError("Give either URLs or --from FILE.")
    if image_id is not None and len(urls) != 1:
        raise click.UsageError("--id needs exactly one URL.")
    if is_table and not source:
        raise click.UsageError("--columns and --delimiter need --from FILE.")


def _send(sender: Sender, rows: Iterable[Row]) -> None:
    try:
        sender.send(rows)
    except (BrokerUnavailable, StoreUnavailable, UnreadableInput, OutputLost) as exc:
        fail(f"{exc} ({sender.progress()})")
    except Stopped:
        fail(f"stopped ({sender.progress()})")
