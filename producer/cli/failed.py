"""`clipqueue failed`: shows which images failed and why. `producer.documents.failures` reads them from MongoDB."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from producer.cli.collection import collection_option, uri_for
from producer.cli.output import fail
from producer.contract.errors import ClipqueueError
from producer.contract.text import printable

if TYPE_CHECKING:
    from producer.documents.failures import FailureGroup

_HEADINGS = ("code", "stage", "count", "newest (UTC)")


@click.command()
@click.option("--code", help="Show these alone, such as http_404.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, one for each code.")
@collection_option
@click.option(
    "--samples", type=click.IntRange(0, 1000), default=3, show_default=True, help="Most images to show of each code."
)
def failed(code: str | None, collection: str, samples: int, *, as_json: bool) -> None:
    """List the images that failed by the code of their error, with the newest of each.

    Needs the extra `mongo`. The exit code is 0 whether any failed or not.
    """
    uri = uri_for("clipqueue failed")
    from producer.documents.connection import open_collection  # noqa: PLC0415  (as above)
    from producer.documents.failures import find_failures  # noqa: PLC0415  (needs pymongo)

    try:
        with open_collection(uri, collection) as documents:
            groups = find_failures(documents, code, samples)
    except ClipqueueError as exc:
        fail(str(exc))
    if as_json:
        for group in groups:
            click.echo(_as_json(group))
    else:
        click.echo(_as_table(groups) if groups else _nothing(code))


def _nothing(code: str | None) -> str:
    return "no image has failed" if code is None else f"no image has failed with code {printable(code)!r}"


def _as_json(group: FailureGroup) -> str:
    return json.dumps(
        {
            "code": group.code,
            "stage": group.stage,
            "count": group.count,
            "newest": group.newest.isoformat() if group.newest else None,
            "samples": [{"id": one.image_id, "url": one.url, "message": one.message} for one in group.samples],
        }
    )


def _as_table(groups: list[FailureGroup]) -> str:
    rows = [_HEADINGS, *map(_cells, groups)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [_row(_HEADINGS, widths)]
    for group in groups:
        lines.append(_row(_cells(group), widths))
        for one in group.samples:
            lines += [f"    {one.image_id}  {one.url or '(no URL)'}", f"        {one.message or '(no message)'}"]
    return "\n".join(lines)


def _cells(group: FailureGroup) -> tuple[str, str, str, str]:
    newest = f"{group.newest:%Y-%m-%d %H:%M:%S}" if group.newest else "unknown"
    return group.code, group.stage, f"{group.count:,}", newest


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    code, stage, count, newest = cells
    return f"{code:<{widths[0]}}  {stage:<{widths[1]}}  {count:>{widths[2]}}  {newest}"
