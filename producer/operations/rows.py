"""Reads image ids and URLs from text or CSV lines, and checks them before they are enqueued."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.contract.errors import InvalidJob
from producer.contract.job import ImageJob, id_of_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass(frozen=True)
class Row:
    """One image to enqueue.

    Attributes:
        source: Where the row comes from, such as `line 7`.
        image_id: The id as text.
        url: The URL, not yet checked.
    """

    source: str
    image_id: str
    url: str


def read_rows(lines: Iterable[str]) -> Iterator[Row]:
    """Parse lines, each a `URL` or CSV `id,url`, and yield a row for each.

    Empty lines, lines that start with `#` and a header `id,url` are skipped. A line with just a URL gets an id from
    its URL. A line that is not valid CSV becomes a row that `check_rows` rejects.
    """
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.lower().startswith(("http://", "https://")):  # a URL may contain commas
            yield Row(f"line {number}", id_of_url(text), text)
            continue
        image_id, url = _split_csv(text)
        if (number, url.lower()) != (1, "url"):  # the header
            yield Row(f"line {number}", image_id, url)


def rows_of_urls(urls: Iterable[str], image_id: str | None = None) -> Iterator[Row]:
    """Yield a row for each URL, with `image_id` or an id made from the URL."""
    for number, url in enumerate(urls, start=1):
        yield Row(f"URL {number}", id_of_url(url) if image_id is None else image_id, url)


def check_rows(
    rows: Iterable[Row], reject: Callable[[Row, InvalidJob], None], *, object_ids: bool = False
) -> Iterator[tuple[Row, Any]]:
    """Yield each row that makes a valid job, with its id as `EmbeddingClient.enqueue_many` takes it.

    Args:
        rows: The rows to check, read lazily.
        reject: Called with each other row and what is wrong with it.
        object_ids: The ids are ObjectIds (24 hex digits).
    """
    for row in rows:
        image_id = {"$oid": row.image_id} if object_ids else row.image_id
        try:
            ImageJob.new(image_id, row.url)
        except InvalidJob as exc:
            reject(row, exc)
            continue
        yield row, image_id


def _split_csv(text: str) -> tuple[str, str]:
    try:
        image_id, *rest = next(csv.reader([text]))
    except csv.Error:  # for example, a field larger than the csv module's limit
        return "", text
    return image_id.strip(), ",".join(rest).strip()
