"""`clipqueue failed`: lists failed images by error code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from producer.cli.collection import collection_option, require_mongodb_uri
from producer.cli.output import fail
from producer.contract.errors import ClipqueueError
from producer.contract.text import printable

if TYPE_CHECKING:
    from producer.documents.failures import FailureGroup

_HEADINGS = ("code", "stage", "count", "newest (UTC)")


@click.command()
@click.option("--code", help="Show only this code, such as http_404.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per error code, one per line.")
@collection_option
@click.option(
    "--samples",
    type=click.IntRange(0, 1000),
    default=3,
    show_default=True,
    help="Maximum number of images to show for each code.",
)
def failed(code: str | None, collection: str, samples: int, *, as_json: bool) -> None:
    """List the failed images by error code, with the newest of each code.

    Needs the extra `mongo`. The exit code is 0 even if images have failed.
    """
    try:
        uri = require_mongodb_uri("clipqueue failed")
        from producer.documents.connection import open_collection  # noqa: PLC0415  (needs pymongo)
        from producer.documents.failures import SOCKET_TIMEOUT_S, find_failures  # noqa: PLC0415

        with open_collection(uri, collection, SOCKET_TIMEOUT_S) as documents:
            groups = find_failures(documents, code, samples)
    except ClipqueueError as exc:
        fail(str(exc))
    if as_json:
        for group in groups:
            click.echo(_as_json(group))
    else:
        click.echo(_as_table(groups) if groups else _no_failures(code))


def _no_failures(code: str | None) -> str:
    return "no image has failed" if code is None else f"no image has failed with code {printable(code)!r}"


def _as_json(group: FailureGroup) -> str:
    return json.dumps(
        {
            "code": group.code,
            "stage": group.stage,
            "count": group.count,
            "newest": group.newest.isoformat() if group.newest else None,
            "samples": [
                {"id": sample.image_id, "url": sample.url, "message": sample.message} for sample in group.samples
            ],
        }
    )


def _as_table(groups: list[FailureGroup]) -> str:
    rows = [_HEADINGS, *map(_cells, groups)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [_row(_HEADINGS, widths)]
    for group in groups:
        lines.append(_row(_cells(group), widths))
        for sample in group.samples:
            lines.append(f"    {sample.image_id}  {sample.url or '(no URL)'}")
            lines.append(f"        {sample.message or '(no message)'}")
    return "\n".join(lines)


def _cells(group: FailureGroup) -> tuple[str, str, str, str]:
    newest = f"{group.newest:%Y-%m-%d %H:%M:%S}" if group.newest else "unknown"
    return group.code, group.stage, f"{group.count:,}", newest


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    code, stage, count, newest = cells
    return f"{code:<{widths[0]}}  {stage:<{widths[1]}}  {count:>{widths[2]}}  {newest}"
