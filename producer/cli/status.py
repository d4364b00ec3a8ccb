"""`clipqueue status`: shows the state of images."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from producer.cli.collection import id_type_option, open_documents_for
from producer.cli.output import CANNOT_TELL, fail
from producer.client.environment import collection_name
from producer.contract.errors import ClipqueueError, InvalidJob
from producer.contract.urls import redact_text

if TYPE_CHECKING:
    from producer.documents.documents import ImageStatus

_DETAILS = {"pending": "the document has no result yet", "unknown": "no such document (yet)"}


@click.command()
@click.argument("image_ids", nargs=-1, required=True, metavar="ID...")
@id_type_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def status(image_ids: tuple[str, ...], id_type: str | None, *, as_json: bool) -> None:
    """Show the state of images: done, failed (with the reason), pending or unknown.

    The exit code is 0 if all are done, 1 if one is not, and 3 if that is not known, as MongoDB does not answer.
    """
    try:
        with open_documents_for("clipqueue status", collection_name(), reads_all=False) as documents:
            images = documents.status(image_ids, id_type)
    except InvalidJob as exc:
        raise click.UsageError(str(exc)) from None
    except ClipqueueError as exc:
        fail(str(exc), CANNOT_TELL)
    for image in images:
        click.echo(_as_json(image) if as_json else _as_line(image))
    sys.exit(0 if all(image.status == "done" for image in images) else 1)


def _as_json(image: ImageStatus) -> str:
    job = {key: redact_text(value) if isinstance(value, str) else value for key, value in image.job.items()}
    return json.dumps({"id": image.image_id, "status": image.status, **job}, default=_json_value)


def _json_value(value: Any) -> str:
    return str(value.isoformat() if isinstance(value, datetime) else value)


def _as_line(image: ImageStatus) -> str:
    job = image.job
    if image.status == "done":
        detail = f"{job.get('model')} dim={job.get('dim')} {job.get('format')} {job.get('width')}x{job.get('height')}"
    elif image.status == "failed":
        error = job["error"] if isinstance(job.get("error"), dict) else {}
        detail = f"{error.get('code')} at {error.get('stage')}: {error.get('message')}"
    else:
        detail = _DETAILS.get(image.status, "")
    shown = image.image_id.encode(errors="backslashreplace").decode()  # bytes that are no UTF-8 text
    return f"{shown}\t{image.status}\t{detail}"
