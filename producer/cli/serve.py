"""`clipqueue serve`: runs the HTTP API."""

from __future__ import annotations

import sys

import click

from producer.cli.output import fail_service, fail_without_extra
from producer.contract.errors import ClipqueueError


@click.command()
def serve() -> None:
    """Answer HTTP requests: embeddings, images and search, with a search page at /.

    Reads REDIS_URL, MONGODB_URI, CLIPQUEUE_API_KEYS and the other CLIPQUEUE_API_ variables. Without keys it answers on
    this machine only. It loads no model: at least one worker must run.
    """
    try:
        from producer.api.server import serve as run  # noqa: PLC0415  (not part of the base install)
        from producer.api.settings import load_api_settings  # noqa: PLC0415
    except ImportError:
        fail_without_extra("clipqueue serve", "api")
    try:
        is_started = run(load_api_settings())
    except (ClipqueueError, OSError) as exc:
        fail_service(str(exc))
    if not is_started:
        sys.exit(1)
