"""`clipqueue retry`: enqueues failed jobs again."""

from __future__ import annotations

import sys
from typing import Any

import click

from producer.cli.backfill_options import SharedOptions, open_connections, shared_options
from producer.cli.output import fail_without_extra


@click.command()
@click.option("--code", help="Only jobs that failed with this code, such as http_404.")
@shared_options
def retry(code: str | None, **shared: Any) -> None:
    """Enqueue failed jobs again, each with the URL that failed.

    After an interruption, the same command continues where it stopped. The exit code is 1 if a document has an invalid
    id or URL.
    """
    given = SharedOptions(**shared)
    with open_connections("retry", given) as (documents, broker, query):
        try:
            from producer.cli.backfill_output import run_backfill  # noqa: PLC0415  (needs tqdm and bson)
        except ImportError:
            fail_without_extra("clipqueue retry", "mongo")
        from producer.operations.requeue.retry import retry_options  # noqa: PLC0415  (needs bson)

        options = retry_options(query, code, given.limit, watch=given.watch)
        sys.exit(run_backfill(documents, broker, options, given, ("retry", code)))
