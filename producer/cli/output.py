"""How a command reports an error and exits."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from producer.telemetry.logs import exit_with

# The exit code of a command that answers a question by 0 or 1, and could not find out.
CANNOT_TELL = 3


def fail(message: str, exit_code: int = 1) -> NoReturn:
    """Print the message to standard error and exit."""
    click.echo(f"clipqueue: {message}", err=True)
    sys.exit(exit_code)


def fail_service(message: str) -> NoReturn:
    """End a command that runs until it is stopped, with the message in the form of its log."""
    exit_with(f"clipqueue: {message}")


def fail_without_extra(command: str, extra: str, exit_code: int = 1) -> NoReturn:
    """Name the extra that the command needs, and exit."""
    fail(without_extra(command, extra), exit_code)


def without_extra(command: str, extra: str) -> str:
    """Return a sentence that names the extra that the command needs."""
    return f"{command} needs clipqueue's extra {extra!r}: run pip install '.[{extra}]' in the clipqueue checkout"


def fail_on_windows(command: str) -> None:
    """Exit with 1 on Windows, for which there is no build of the embedded Redis."""
    if sys.platform == "win32":
        fail(f"{command} does not run on Windows; run it in WSL 2, or start the parts with docker compose up")
