"""How a command reports an error and exits."""

from __future__ import annotations

import sys
from typing import NoReturn

import click


def fail(message: str) -> NoReturn:
    """Print the message to standard error and exit with 1."""
    click.echo(f"clipqueue: {message}", err=True)
    sys.exit(1)


def fail_without_extra(command: str, extra: str) -> NoReturn:
    """Name the extra that the command needs, and exit with 1."""
    fail(f"{command} needs clipqueue's extra {extra!r}: run pip install '.[{extra}]' in the clipqueue checkout")


def fail_on_windows(command: str) -> None:
    """Exit with 1 on Windows, for which there is no build of the embedded Redis."""
    if sys.platform == "win32":
        fail(f"{command} does not run on Windows; run it in WSL 2, or start the parts with docker compose up")
