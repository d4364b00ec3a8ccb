"""`clipqueue backfill`: enqueues a collection's documents that have no result or a stale vector."""

from __future__ import annotations

import sys
from typing import Any

import click

from producer.cli.backfill_options import SharedOptions, open_connections, shared_options
from producer.cli.output import fail_without_extra


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
@click.option("--dry-run", is_flag=True, help="Only count the documents by state, and exit with 0.")
@click.option("--watch", is_flag=True, help="Wait until all jobs have finished, and count the results.")
def backfill(url_field: str, only: str | None, model: str | None, **shared: Any) -> None:
    """Enqueue the documents in a collection that have no result or a stale vector.

    After an interruption, the same command continues where it stopped, with the same model. The exit code is 1 if a
    document has an invalid id or URL, or, with --watch, if a job failed or no worker was alive for a minute.
    """
    given = SharedOptions(**shared)
    with open_connections("backfill", given) as (documents, broker, query):
        try:
            from producer.cli.backfill_output import run_backfill  # noqa: PLC0415  (needs tqdm and bson)
        except ImportError:
            fail_without_extra("clipqueue backfill", "mongo")
        from producer.operations.requeue.backfill import BackfillOptions  # noqa: PLC0415  (needs bson)
        from producer.operations.requeue.selection import MISSING_OR_STALE, Selection  # noqa: PLC0415  (needs bson)

        selection = Selection(url_field, only or MISSING_OR_STALE, model)
        options = BackfillOptions(selection, query, given.limit, given.watch)
        sys.exit(run_backfill(documents, broker, options, given, ("backfill", url_field, only)))
