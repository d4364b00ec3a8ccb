"""`clipqueue up`: keeps the embedded stack running."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.model import LOCAL_MODEL_DEFAULT, default_model_env, model_option
from producer.cli.output import fail, fail_on_windows, fail_without_extra
from producer.cli.signals import until_stopped

if TYPE_CHECKING:
    from producer.local.stack import Stack

_API_PORT = 8000
_NEXT = """
Next, in another terminal:
  export the variables above
{path}  clipqueue enqueue https://example.com/cat.jpg --id cat
  clipqueue status cat
"""


@click.command()
@click.option("--redis-port", type=click.IntRange(0, 65_535), default=0, help="Port of Redis; 0 takes a free one.")
@click.option("--mongo-port", type=click.IntRange(0, 65_535), default=0, help="Port of MongoDB; 0 takes a free one.")
@click.option("--api-port", type=click.IntRange(0, 65_535), help="Port of the API; by default 8000 if that is free.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the servers' files and the logs here; without it they are temporary.",
)
@click.option("--no-worker", is_flag=True, help="Start Redis and MongoDB only.")
@click.option("--verbose", is_flag=True, help="Show the whole logs of the worker and the API, not only problems.")
@model_option(LOCAL_MODEL_DEFAULT)
def up(  # noqa: PLR0913  (the options)
    redis_port: int,
    mongo_port: int,
    api_port: int | None,
    data_dir: Path | None,
    model_env: dict[str, str],
    *,
    no_worker: bool,
    verbose: bool,
) -> None:
    """Start Redis, MongoDB, a worker and the API with its search page here, and keep them running until Ctrl-C.

    The worker reads CLIP_MODEL, CLIP_PRETRAINED and the CLIPQUEUE_ variables as it does elsewhere. If neither of the
    first two is set, it runs the small model that ships with clipqueue.
    """
    fail_on_windows("clipqueue up")
    try:
        from producer.local.claims import prefer_port  # noqa: PLC0415  (not part of the base install, as the next)
        from producer.local.logs import shown  # noqa: PLC0415
        from producer.local.stack import Stack, StackError  # noqa: PLC0415
    except ImportError:
        fail_without_extra("clipqueue up", "local")
    with ExitStack() as cleanup:
        if data_dir is None:
            data_dir = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="clipqueue-")))
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            stack = Stack(data_dir, redis_port=redis_port, mongo_port=mongo_port)
            logs = [stack.log("worker"), stack.log("api")]
            with until_stopped(), shown(logs, lambda line: click.echo(line, err=True), verbose=verbose), stack:
                stack.start_servers()
                page = ""
                if not no_worker:
                    click.echo("starting; loading the model takes a few seconds", err=True)
                    stack.start_worker(model_env or default_model_env())
                    page = stack.start_api(port=prefer_port(_API_PORT) if api_port is None else api_port)
                _print_addresses(stack, page, data_dir, model_env)
                stack.watch()
        except StackError as exc:
            fail(str(exc))
        except OSError as exc:
            fail(_why_not(exc))


def _why_not(exc: OSError) -> str:
    """Return a sentence for what the system refused: a file of the data folder, or none."""
    if exc.filename is None:
        return f"the output could not be written, or a process not be started: {exc.strerror}"
    return f"{exc.filename} cannot be used: {exc.strerror}; choose another folder with --data-dir"


def _print_addresses(stack: Stack, page: str, data_dir: Path, model_env: dict[str, str]) -> None:
    """Print the variables for the clients to standard output, and the rest to standard error."""
    from producer.local.environment import notes_for_up  # noqa: PLC0415

    exports = {"REDIS_URL": stack.redis_url, "MONGODB_URI": stack.mongodb_uri}
    if page:
        exports["CLIPQUEUE_URL"] = page
    if collection := os.environ.get("CLIPQUEUE_COLLECTION"):
        exports["CLIPQUEUE_COLLECTION"] = collection
    click.echo("\n".join(f"export {name}={shlex.quote(value)}" for name, value in exports.items()))
    for note in notes_for_up(os.environ, model_env):
        click.echo(f"note: {note}", err=True)
    if page:
        steps = _NEXT.format(path=line_for_path())
        click.echo(f"{steps}  open {page}   (search page; its API is documented at {page}/docs)\n", err=True)
    click.echo(f"logs: {data_dir}\nready; Ctrl-C stops everything", err=True)


def line_for_path() -> str:
    """Return the line with which a shell finds `clipqueue`, as after `make up`; nothing if it is found."""
    folder = Path(sys.executable).parent
    if shutil.which("clipqueue") or not (folder / "clipqueue").exists():
        return ""
    return f"  export PATH={shlex.quote(str(folder))}:$PATH\n"
