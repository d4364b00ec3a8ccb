"""How every command of `clipqueue` says that it cannot go on."""

from __future__ import annotations

import sys
from typing import NoReturn

import click


def fail(message: str) -> NoReturn:
    """Print the message to standard error and exit with 1."""
    click.echo(f"clipqueue: {message}", err=True)
    sys.exit(1)


def fail_for_extra(command: str, extra: str) -> NoReturn:
    """Say which part of the installation a command lacks, and exit with 1."""
    fail(f"{command} needs clipqueue's extra {extra!r}, as pip installs with '.[{extra}]' in its folder")
