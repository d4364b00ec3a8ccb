"""`clipqueue up`: keeps the embedded stack running."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from producer.cli.model import LOCAL_MODEL_DEFAULT, default_model_env, model_option
from producer.cli.output import fail, fail_without_extra
from producer.cli.signals import until_stopped

_API_PORT = 8000


@click.command()
@click.option("--redis-port", type=click.IntRange(0, 65_535), default=0, help="Port of Redis; 0 takes a free one.")
@click.option("--mongo-port", type=click.IntRange(0, 65_535), default=0, help="Port of MongoDB; 0 takes a free one.")
@click.option("--api-port", type=click.IntRange(0, 65_535), help="Port of the API; by default 8000 if that is free.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the servers' files here; without it they are temporary.",
)
@click.option("--no-worker", is_flag=True, help="Start Redis and MongoDB only.")
@model_option(LOCAL_MODEL_DEFAULT)
def up(  # noqa: PLR0913  (the options)
    redis_port: int,
    mongo_port: int,
    api_port: int | None,
    data_dir: Path | None,
    model_env: dict[str, str],
    *,
    no_worker: bool,
) -> None:
    """Start Redis, MongoDB, a worker and the API with its search page here, and keep them running until Ctrl-C.

    The worker reads CLIP_MODEL, CLIP_PRETRAINED and the CLIPQUEUE_ variables as it does elsewhere. If neither of the
    first two is set, it runs the small model that ships with clipqueue.
    """
    try:
        from producer.local.claims import prefer_port  # noqa: PLC0415  (not part of the base install, as the next)
        from producer.local.stack import Stack, StackError  # noqa: PLC0415  (not part of the base install)
    except ImportError:
        fail_without_extra("clipqueue up", "local")
    with ExitStack() as cleanup:
        if data_dir is None:
            data_dir = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="clipqueue-")))
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            stack = Stack(data_dir, redis_port=redis_port, mongo_port=mongo_port, inherit_logs=True)
            with until_stopped(), stack:
                stack.start_servers()
                click.echo(f"export REDIS_URL={stack.redis_url}\nexport MONGODB_URI={stack.mongodb_uri}")
                if not no_worker:
                    click.echo("starting the worker; loading the model takes a few seconds", err=True)
                    stack.start_worker(model_env or default_model_env())
                    url = stack.start_api(port=prefer_port(_API_PORT) if api_port is None else api_port)
                    click.echo(f"search page and API: {url}", err=True)
                click.echo("ready; Ctrl-C stops everything", err=True)
                stack.watch()
        except (StackError, OSError) as exc:
            fail(str(exc))
