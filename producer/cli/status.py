"""`clipqueue status`: shows the state of images, or of the queue."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from producer.cli.collection import id_type_option, open_documents_for
from producer.cli.output import CANNOT_TELL, fail
from producer.client.broker import Broker
from producer.client.environment import collection_name, redis_url_from_env
from producer.client.queue import JobCounts, count_jobs
from producer.contract.errors import ClipqueueError, InvalidJob
from producer.contract.urls import redact_text
from producer.operations.delayed import read_delays

if TYPE_CHECKING:
    from producer.documents.documents import ImageStatus

_NO_JOBS = JobCounts(0, 0, 0)
_DETAILS = {"pending": "the document has no result yet", "unknown": "no such document (yet)"}


@click.command()
@click.argument("image_ids", nargs=-1, metavar="[ID]...")
@id_type_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def status(image_ids: tuple[str, ...], id_type: str | None, *, as_json: bool) -> None:
    """Show the state of images: done, failed (with the reason), pending or unknown.

    The exit code is 0 if all are done, 1 if one is not, and 3 if that is not known, as MongoDB does not answer.

    Without an ID, show how many jobs wait on the queue, are in flight, and are delayed until their next attempt: until
    when, and for which hosts. The exit code is 0 if there are none, 1 if there are any, and 3 if Redis does not answer.
    """
    if not image_ids:
        sys.exit(0 if _show_queue(as_json=as_json) else 1)
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


def _show_queue(*, as_json: bool) -> bool:
    """Print how many jobs there are; return whether there are none."""
    try:
        with closing(Broker(redis_url_from_env())) as broker, broker.commands("did not answer") as redis:
            seconds, micros = redis.time()
            counts, delays = count_jobs(redis), read_delays(redis, seconds + micros / 1e6)
    except ClipqueueError as exc:
        fail(str(exc), CANNOT_TELL)
    if as_json:
        click.echo(json.dumps({**asdict(counts), **delays.as_json()}))
    else:
        click.echo(f"waiting\t{counts.waiting}\nin flight\t{counts.in_flight}")
        click.echo(f"delayed\t{counts.delayed}" + (f"\t{delays.described()}" if delays.count else ""))
    return counts == _NO_JOBS


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
