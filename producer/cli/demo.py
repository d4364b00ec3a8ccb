"""`clipqueue demo`: embeds images once, on servers that are started for it."""

from __future__ import annotations

import sys

import click

from producer.cli.model import LOCAL_MODEL_DEFAULT, default_model_env, model_option
from producer.cli.output import fail, fail_on_windows, fail_without_extra
from producer.cli.signals import until_stopped
from producer.contract.errors import ClipqueueError
from producer.contract.job import ImageJob, id_of_url


@click.command()
@click.argument("urls", nargs=-1, metavar="[URL...]")
@click.option("--open", "keep_open", is_flag=True, help="Then show the images in a search page, until Ctrl-C.")
@model_option(LOCAL_MODEL_DEFAULT)
def demo(urls: tuple[str, ...], model_env: dict[str, str], *, keep_open: bool) -> None:
    """Start Redis, MongoDB and a worker, embed sample images (or URLs), and stop everything again.

    The samples are then searched with three texts. The exit code is 0 if all images are done.
    """
    fail_on_windows("clipqueue demo")
    try:
        from rich.console import Console  # noqa: PLC0415  (not part of the base install, like the stack)

        from producer.local.demo import run_demo  # noqa: PLC0415
        from producer.local.stack import StackError  # noqa: PLC0415
    except ImportError:
        fail_without_extra("clipqueue demo", "local")
    all_done = False
    try:
        for url in urls:
            ImageJob.new(id_of_url(url), url)
        with until_stopped():
            all_done = run_demo(urls, Console(), model_env or default_model_env(), keep_open=keep_open)
    except (ClipqueueError, StackError) as exc:
        fail(str(exc))
    sys.exit(0 if all_done else 1)
