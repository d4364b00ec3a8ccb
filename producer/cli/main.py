"""The command `clipqueue`. Exit codes: 0 all went well, 1 something did not, 2 the command line is wrong."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from producer.cli.backfill import backfill, retry
from producer.cli.collection import opened_collection
from producer.cli.doctor import doctor
from producer.cli.failed import failed
from producer.cli.model import model, model_option, small_unless_set
from producer.cli.output import fail, fail_for_extra
from producer.cli.purge import purge
from producer.cli.sweep import sweep
from producer.client.client import EmbeddingClient
from producer.client.environment import collection_name
from producer.client.queue import chunked
from producer.contract.errors import BrokerUnavailable, ClipqueueError, InvalidJob, StoreUnavailable
from producer.contract.job import ImageJob, id_of_url
from producer.contract.urls import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from producer.documents.documents import ImageStatus

_LOCAL_MODEL = "CLIP_MODEL and CLIP_PRETRAINED, else the small model that ships with clipqueue"

# SIGHUP comes when the terminal is closed.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

Row = tuple[str, str, str]  # where it stands, image id, URL


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clipqueue")
def cli() -> None:
    """Put image URLs on the queue; find their CLIP vectors in MongoDB.

    Reads REDIS_URL, and MONGODB_URI where a command looks at documents.
    """


@cli.command()
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
@click.option("--force", is_flag=True, help="Embed again even if the vector is there already.")
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
    """Enqueue images; prints the id of each one's document, one a line.

    Without an id, an image's id is made from its URL, so that the same URL always means the same document.
    Rows that cannot be used are reported and left out; the exit code is then 1.
    """
    if bool(urls) == bool(source):
        raise click.UsageError("Give either URLs or --from FILE.")
    if image_id is not None and len(urls) != 1:
        raise click.UsageError("--id goes with exactly one URL.")
    rows = _read_rows(source) if source else _rows_of(urls, image_id)
    checked = _Checked(rows, object_id=object_id)
    count = 0
    try:
        with EmbeddingClient.from_env() as client:
            for chunk in chunked(checked):
                pairs = [(wire_id, url) for _, wire_id, url in chunk]
                count += client.enqueue_many(pairs, force=force, record=record)
                _print_ids(shown_id for shown_id, _, _ in chunk)
    except (BrokerUnavailable, StoreUnavailable) as exc:
        fail(f"{exc} (enqueued before: {count}, refused: {checked.refused})")
    except ClipqueueError as exc:
        fail(str(exc))
    click.echo(f"enqueued {count}, refused {checked.refused}", err=True)
    sys.exit(1 if checked.refused else 0)


@cli.command()
@click.argument("image_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def status(image_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Show how images stand: done, failed (with the reason), pending or unknown.

    The exit code is 0 if all are done, else 1.
    """
    try:
        with opened_collection("clipqueue status", collection_name()) as documents:
            found = documents.status(image_ids)
    except ClipqueueError as exc:
        fail(str(exc))
    for one in found:
        click.echo(_as_json(one) if as_json else _as_line(one))
    sys.exit(0 if all(one.status == "done" for one in found) else 1)


@cli.command()
@click.option("--redis-port", type=click.IntRange(0, 65_535), default=0, help="Port of Redis; 0 takes a free one.")
@click.option("--mongo-port", type=click.IntRange(0, 65_535), default=0, help="Port of MongoDB; 0 takes a free one.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the servers' files here; by default they are temporary.",
)
@click.option("--no-worker", is_flag=True, help="Start the servers only.")
@model_option(_LOCAL_MODEL)
def up(redis_port: int, mongo_port: int, data_dir: Path | None, model_env: dict[str, str], *, no_worker: bool) -> None:
    """Start Redis, MongoDB and a worker on this machine, and keep them running until Ctrl-C.

    The worker reads CLIP_MODEL, CLIP_PRETRAINED and the CLIPQUEUE_ variables as it would elsewhere; if neither of the
    first two is set, it runs the small model that ships with clipqueue.
    """
    stack_module = _import_local("clipqueue up")
    with contextlib.ExitStack() as cleanup:
        if data_dir is None:
            data_dir = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="clipqueue-")))
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            stack = stack_module.Stack(data_dir, redis_port=redis_port, mongo_port=mongo_port, inherit_logs=True)
            with _until_stopped(), stack:
                stack.start_servers()
                click.echo(f"export REDIS_URL={stack.redis_url}\nexport MONGODB_URI={stack.mongodb_uri}")
                if not no_worker:
                    click.echo("starting the worker; loading the model takes some seconds", err=True)
                    stack.start_worker(model_env or small_unless_set())
                click.echo("ready; Ctrl-C stops everything", err=True)
                while True:
                    stack.check()
                    time.sleep(0.2)
        except (stack_module.StackError, OSError) as exc:
            fail(str(exc))


@cli.command()
@click.argument("urls", nargs=-1, metavar="[URL...]")
@model_option(_LOCAL_MODEL)
def demo(urls: tuple[str, ...], model_env: dict[str, str]) -> None:
    """Run the whole job once on servers started for it: sample pictures (or URLs) in, vectors out.

    The samples are then searched with three texts.

    The exit code is 0 if all images are done.
    """
    stack_module = _import_local("clipqueue demo")
    from rich.console import Console  # noqa: PLC0415

    from producer.local.demo import run_demo  # noqa: PLC0415

    all_done = False
    try:
        for url in urls:
            ImageJob.new(id_of_url(url), url)
        with _until_stopped():
            all_done = run_demo(urls, Console(), model_env or small_unless_set())
    except (ClipqueueError, stack_module.StackError) as exc:
        fail(str(exc))
    sys.exit(0 if all_done else 1)


cli.add_command(model)
cli.add_command(doctor)
cli.add_command(failed)
cli.add_command(purge)
cli.add_command(backfill)
cli.add_command(retry)
cli.add_command(sweep)


def main() -> None:
    """Run the command line."""
    cli(prog_name="clipqueue")


class _Checked:
    """The rows that make jobs; counts and reports those that do not."""

    def __init__(self, rows: Iterable[Row], *, object_id: bool) -> None:
        self._rows = rows
        self._object_id = object_id
        self.refused = 0

    def __iter__(self) -> Iterator[tuple[str, Any, str]]:
        """Yield the id to show, the id for the client, and the URL."""
        for where, image_id, url in self._rows:
            wire_id = {"$oid": image_id} if self._object_id else image_id
            try:
                ImageJob.new(wire_id, url)
            except InvalidJob as exc:
                self.refused += 1
                click.echo(f"{where}: {exc}", err=True)
                continue
            yield image_id, wire_id, url


def _rows_of(urls: Iterable[str], image_id: str | None) -> Iterator[Row]:
    for number, url in enumerate(urls, start=1):
        yield f"URL {number}", id_of_url(url) if image_id is None else image_id, url


def _read_rows(source: TextIO) -> Iterator[Row]:
    for number, line in enumerate(source, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.lower().startswith(("http://", "https://")):  # a URL may contain commas
            yield f"line {number}", id_of_url(text), text
            continue
        image_id, url = _split_row(text)
        if (number, url.lower()) != (1, "url"):  # the header
            yield f"line {number}", image_id, url


def _split_row(text: str) -> tuple[str, str]:
    try:
        image_id, *rest = next(csv.reader([text]))
    except csv.Error:  # such as a field of megabytes
        return "", text
    return image_id.strip(), ",".join(rest).strip()


def _print_ids(shown_ids: Iterable[str]) -> None:
    try:
        click.echo("\n".join(shown_ids))
    except BrokenPipeError:
        # Nobody reads the ids any more, as behind `| head`; the jobs are wanted all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _as_json(one: ImageStatus) -> str:
    shown = {key: redact_text(value) if isinstance(value, str) else value for key, value in one.job.items()}
    return json.dumps({"id": one.image_id, "status": one.status, **shown}, default=_json_value)


def _json_value(value: Any) -> str:
    return str(value.isoformat() if isinstance(value, datetime) else value)


def _as_line(one: ImageStatus) -> str:
    job = one.job
    if one.status == "done":
        detail = f"{job.get('model')} dim={job.get('dim')} {job.get('format')} {job.get('width')}x{job.get('height')}"
    elif one.status == "failed":
        error = job["error"] if isinstance(job.get("error"), dict) else {}
        detail = f"{error.get('code')} at {error.get('stage')}: {error.get('message')}"
    else:
        detail = {"pending": "the document has no result yet", "unknown": "no such document (yet)"}.get(one.status, "")
    return f"{one.image_id}\t{one.status}\t{detail}"


def _import_local(command: str) -> Any:
    try:
        from producer.local import stack  # noqa: PLC0415  (the base install has none of it)
    except ImportError:
        fail_for_extra(command, "local")
    return stack


@contextlib.contextmanager
def _until_stopped() -> Iterator[None]:
    """Turn the signals that end a command into a quiet end of the block, after what is inside has cleaned up."""
    signals = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup has it

    def end(*_: object) -> NoReturn:
        for number in signals:  # a second one must not interrupt the cleaning up
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, end)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
