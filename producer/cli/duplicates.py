"""`clipqueue duplicates`: lists groups of near-duplicates."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from producer.cli.collection import collection_option
from producer.cli.output import fail, fail_without_extra
from producer.cli.search import open_search, shown_link
from producer.contract.errors import ClipqueueError
from producer.contract.ids import image_name
from producer.contract.text import printable
from producer.contract.urls import redact_url

if TYPE_CHECKING:
    from producer.search.query import DuplicateGroup


@click.command()
@click.option(
    "--threshold",
    type=float,
    default=0.97,
    show_default=True,
    help="Two images whose vectors have at least this cosine are in one group.",
)
@click.option("--model", help="Compare the vectors of this model; needed if there are vectors of several.")
@click.option("--limit", type=int, help="Stop after this many groups.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@collection_option
def duplicates(threshold: float, model: str | None, limit: int | None, collection: str, *, as_json: bool) -> None:
    """List groups of images that are near-duplicates of each other.

    Each group is printed as soon as it is complete. The number before an image is the cosine of its vector and that of
    the group's first image. It may be below the threshold: then other images of the group are between the two.
    """
    try:
        from producer.search.errors import InvalidSearch  # noqa: PLC0415
        from producer.search.query import Duplicates  # noqa: PLC0415
        from producer.search.search import ImageSearch  # noqa: F401, PLC0415  (needs numpy and pymongo)
    except ImportError:
        fail_without_extra("clipqueue duplicates", "search")
    groups = images = 0
    try:
        with open_search("clipqueue duplicates", collection) as search:
            for group in search.duplicates(Duplicates(threshold, model, limit), _show_progress):
                groups, images = groups + 1, images + len(group.images)
                click.echo(_as_json(group) if as_json else _as_lines(group))
    except InvalidSearch as exc:
        raise click.UsageError(str(exc)) from None
    except ClipqueueError as exc:
        fail(str(exc))
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    click.echo(f"{groups} groups with {images} images", err=True)


def _show_progress(compared: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\rcompared {compared} of {total}", err=True, nl=compared == total)


def _as_json(group: DuplicateGroup) -> str:
    images = [
        {
            **image_name(image.image_id),
            "cosine": image.cosine,
            "url": None if image.url is None else redact_url(image.url),
        }
        for image in group.images
    ]
    return json.dumps({"images": images})


def _as_lines(group: DuplicateGroup) -> str:
    lines = [
        f"{image.cosine:6.3f}  {printable(str(image.image_id))}  {shown_link(image.url)}" for image in group.images
    ]
    return "\n".join(line.rstrip() for line in (*lines, ""))
