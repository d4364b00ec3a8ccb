"""The command `clipqueue` with all its subcommands.

Exit codes: 0 success, 1 something failed, 2 the command line is wrong. Where 1 is the answer to a question (`status`,
`stats`, `search`, `index show`), 3 means that the question could not be answered.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import NoReturn

import click

from producer.cli.backfill import backfill
from producer.cli.demo import demo
from producer.cli.doctor import doctor
from producer.cli.duplicates import duplicates
from producer.cli.enqueue import enqueue
from producer.cli.failed import failed
from producer.cli.index import index
from producer.cli.model import model
from producer.cli.notify import notify
from producer.cli.output import CANNOT_TELL, fail
from producer.cli.parked import parked
from producer.cli.purge import purge
from producer.cli.retry import retry
from producer.cli.search import search
from producer.cli.serve import serve
from producer.cli.stats import stats
from producer.cli.status import status
from producer.cli.sweep import sweep
from producer.cli.top import top
from producer.cli.up import up

# A full disk or quota, and a terminal or disk that is gone. Windows has no quota.
_OUTPUT_ERRORS = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO") if hasattr(errno, name)}
_QUESTIONS = {"status", "stats", "search", "index"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clipqueue")
def cli() -> None:
    """Enqueue image URLs for embedding, and manage the jobs.

    Reads REDIS_URL, and MONGODB_URI for the commands that read documents.
    """


for _command in (
    enqueue,
    status,
    stats,
    top,
    search,
    duplicates,
    index,
    serve,
    up,
    demo,
    model,
    doctor,
    failed,
    parked,
    purge,
    backfill,
    retry,
    sweep,
    notify,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # On Windows, what goes to a file or a pipe would be in a code page that lacks most of the world's letters.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=stream.errors)
    try:
        cli(prog_name="clipqueue")
    except OSError as exc:
        if exc.filename is not None or exc.errno not in _OUTPUT_ERRORS:
            raise
        _fail_without_output(exc)


def _fail_without_output(exc: OSError) -> NoReturn:
    # What could not be written is still in the buffer. Python would try again at the end, and exit with 120.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    is_question = bool(_QUESTIONS & set(sys.argv[1:2]))
    fail(f"the output cannot be written: {exc.strerror}", CANNOT_TELL if is_question else 1)
