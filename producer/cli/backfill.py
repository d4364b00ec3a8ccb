"""`clipqueue backfill` and `clipqueue retry`: what a collection lacks is queued, from where the last start stopped."""

from __future__ import annotations

import json
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from producer.cli.collection import collection_option, opened_collection
from producer.cli.output import fail, fail_for_extra
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.contract.errors import BrokerUnavailable, ClipqueueError, ConfigurationError, StoreUnavailable
from producer.operations.workers import check_same_collection, read_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.selection import Selection

_CHOICES = ("missing", "failed", "stale", "all")


@dataclass(frozen=True)
class Asked:
    """What the options of both commands say.

    Attributes:
        command: Its name.
        options: What makes it this backfill and no other.
    """

    command: str
    options: tuple[str | None, ...]
    collection: str
    query: str
    limit: int | None
    rate: float | None
    max_queued: int
    restart: bool
    watch: bool = False
    dry_run: bool = False


def _running_options(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--query", default="{}", help='Only documents that match this extended JSON: {"kind": "photo"}.'),
        click.option(
            "--limit", type=click.IntRange(min=1), help="Enqueue at most so many, and go on from there later."
        ),
        click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many a second."),
        click.option(
            "--max-queued",
            type=click.IntRange(min=1),
            default=10_000,
            show_default=True,
            help="Wait while this many jobs wait or are in flight.",
        ),
        click.option("--restart", is_flag=True, help="Begin anew, not where an earlier start stopped."),
        collection_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.option(
    "--url-field",
    required=True,
    envvar="CLIPQUEUE_URL_FIELD",
    show_envvar=True,
    help="Where a document has its URL, such as imageUrl or media.imageUrl.",
)
@click.option(
    "--only",
    type=click.Choice(_CHOICES),
    help="Documents without a result, with a failure, with a vector of another URL or model, or all, and those anew. "
    "By default what is missing or stale.",
)
@click.option("--model", help="A vector of another model is stale; by default the model that the workers run.")
@_running_options
@click.option("--dry-run", is_flag=True, help="Only count the documents by state.")
@click.option("--watch", is_flag=True, help="Wait until all are done or failed, and say how they ended.")
def backfill(url_field: str, only: str | None, model: str | None, **running: Any) -> None:
    """Enqueue what a collection lacks a vector of.

    Stopped in any way, the same command goes on from where it was. The exit code is 1 if a document has a URL that no
    worker could use, or, with --watch, if a job failed.
    """
    asked = Asked(command="backfill", options=(url_field, only, model), **running)
    with _opened(asked) as (documents, broker, query):
        from producer.operations.requeue.selection import LACKING, STALE, Selection  # noqa: PLC0415  (needs bson)

        chosen = only or LACKING
        if model is None and chosen in (LACKING, STALE):
            model = _model_of_the_workers(broker, documents)
        if model is None and chosen == STALE:
            raise ConfigurationError("no worker lives that could tell its model: say with --model which is current")
        # The model that was found out is a part of what makes this backfill: with another, it begins anew.
        asked = replace(asked, options=(url_field, only, model))
        _run(asked, Selection(url_field, chosen, model), query, documents, broker)


@click.command()
@click.option("--code", help="Only jobs that failed with this code, such as http_404.")
@_running_options
def retry(code: str | None, **running: Any) -> None:
    """Enqueue the jobs that failed again, each by the URL that it failed with.

    Stopped in any way, the same command goes on from where it was.
    """
    asked = Asked(command="retry", options=(code,), **running)
    with _opened(asked) as (documents, broker, query):
        from producer.operations.requeue.selection import FAILED, Selection  # noqa: PLC0415  (needs bson)

        of_code = {} if code is None else {"embedding_job.error.code": code}
        _run(asked, Selection("embedding_job.url", FAILED), {"$and": [query, of_code]}, documents, broker)


@contextmanager
def _opened(asked: Asked) -> Iterator[tuple[ImageDocuments, Broker, Any]]:
    try:
        with (
            opened_collection(f"clipqueue {asked.command}", asked.collection) as documents,
            closing(Broker(redis_url_from_env())) as broker,
        ):
            check_same_collection(broker, documents)
            yield documents, broker, _read_query(asked.query)
    except (BrokerUnavailable, StoreUnavailable) as exc:
        fail(f"{exc}; the same command goes on from where it was")
    except ClipqueueError as exc:
        fail(str(exc))


def _run(asked: Asked, selection: Selection, query: Any, documents: ImageDocuments, broker: Broker) -> None:
    from producer.operations.requeue.backfill import BackfillOptions  # noqa: PLC0415  (needs bson)
    from producer.operations.requeue.bookmark import Bookmark  # noqa: PLC0415  (needs bson)
    from producer.operations.requeue.pace import Pace  # noqa: PLC0415  (for the speed of other commands)

    try:
        from producer.cli.backfill_run import BackfillRun, show_states  # noqa: PLC0415  (needs tqdm)
    except ImportError:
        fail_for_extra(f"clipqueue {asked.command}", "mongo")

    options = BackfillOptions(selection, query, asked.limit, asked.watch)
    if asked.dry_run:
        show_states(documents, options)
        return
    of_backfill = (asked.command, documents.database, documents.name, json.dumps(query, default=str), *asked.options)
    run = BackfillRun(documents, Bookmark(broker, of_backfill), Pace(broker, asked.max_queued, asked.rate), options)
    sys.exit(run.run(anew=asked.restart))


def _read_query(text: str) -> Any:
    from bson import json_util  # noqa: PLC0415  (the base install has no bson)
    from bson.errors import BSONError  # noqa: PLC0415

    try:
        query = json_util.loads(text)
    except (ValueError, TypeError, BSONError) as exc:
        raise click.UsageError(f"--query is no extended JSON: {exc}") from None
    if not isinstance(query, dict):
        raise click.UsageError('--query must be a JSON object, such as {"kind": "photo"}')
    return query


def _model_of_the_workers(broker: Broker, documents: ImageDocuments) -> str | None:
    with broker.commands("did not tell which model the workers run") as redis:
        notes = [worker.note for worker in read_workers(redis).workers]
    here = (documents.database, documents.name)
    models = sorted({note["model"] for note in notes if (note["database"], note["collection"]) == here})
    if len(models) > 1:
        raise ConfigurationError(f"the workers run several models: say with --model which is current, {models!r}")
    if not models:
        click.echo("no worker lives that could tell its model, so only URLs are compared; or give --model", err=True)
        return None
    return models[0]
