"""`clipqueue backfill`: enqueues a collection's documents that have no result or a stale vector."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from producer.cli.backfill_options import SharedOptions, open_connections, shared_options
from producer.cli.output import fail_without_extra
from producer.contract.errors import ConfigurationError
from producer.operations.workers import find_worker_model

if TYPE_CHECKING:
    from producer.client.broker import Broker
    from producer.documents.documents import ImageDocuments
    from producer.operations.requeue.selection import Selection


@click.command()
@click.option(
    "--url-field",
    required=True,
    envvar="CLIPQUEUE_URL_FIELD",
    show_envvar=True,
    help="The field of a document's URL, such as imageUrl or media.imageUrl.",
)
@click.option(
    "--only",
    type=click.Choice(("missing", "failed", "stale", "all")),
    help="missing: no result. failed: the job failed. stale: the vector is for another URL or model. all: every "
    "document, even with a current vector. Default: missing and stale.",
)
@click.option("--model", help="A vector of another model is stale; by default the model that the workers run.")
@shared_options
@click.option("--dry-run", is_flag=True, help="Only count the documents by state.")
@click.option("--watch", is_flag=True, help="Wait until all jobs have finished, and count the results.")
def backfill(url_field: str, only: str | None, model: str | None, **shared: Any) -> None:
    """Enqueue the documents in a collection that have no result or a stale vector.

    After an interruption, the same command continues where it stopped. The exit code is 1 if a document has an
    invalid id or URL, or, with --watch, if a job failed.
    """
    given = SharedOptions(**shared)
    with open_connections("backfill", given) as (documents, broker, query):
        try:
            from producer.cli.backfill_output import run_backfill  # noqa: PLC0415  (needs tqdm and bson)
        except ImportError:
            fail_without_extra("clipqueue backfill", "mongo")
        from producer.operations.requeue.backfill import BackfillOptions  # noqa: PLC0415  (needs bson)

        selection = _select(url_field, only, model, documents, broker)
        # The model is part of the checkpoint's key, even if it was read from the workers' heartbeats, so a new model
        # starts a new backfill.
        identity = ("backfill", url_field, only, selection.model)
        options = BackfillOptions(selection, query, given.limit, given.watch)
        sys.exit(run_backfill(documents, broker, options, given, identity))


def _select(
    url_field: str, only: str | None, model: str | None, documents: ImageDocuments, broker: Broker
) -> Selection:
    from producer.operations.requeue.selection import MISSING_OR_STALE, STALE, Selection  # noqa: PLC0415  (needs bson)

    chosen = only or MISSING_OR_STALE
    if model is None and chosen in (MISSING_OR_STALE, STALE):
        model = find_worker_model(broker, documents)
        if model is None and chosen == STALE:
            raise ConfigurationError("no live worker reports its model; set it with --model")
        if model is None:
            click.echo(
                "no live worker reports its model: only URLs are compared. Set --model to compare models too.", err=True
            )
    return Selection(url_field, chosen, model)
