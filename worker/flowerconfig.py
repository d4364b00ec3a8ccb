"""Flower's configuration: it asks for a password, can change nothing, and listens on the platform's PORT.

    celery -A worker.app flower --conf=worker/flowerconfig.py

Flower runs this file and takes its variables as options. Flower's own environment variables, such as FLOWER_READ_ONLY,
and the options of the command line win.
"""

import os
import re
import sys

from tornado.options import options

_MAX_PORT = 65_535
_OPEN_TO_ALL = (
    "Flower does not start without a password, because it shows the ids and URLs of all jobs: set FLOWER_BASIC_AUTH to "
    "user:password. Set FLOWER_UNAUTHENTICATED_API=true if only you can reach it."
)


def _use_our_log() -> None:
    """Replace the handler that Tornado has set up: it writes to standard error, which platforms show as errors."""
    from logging import INFO, getLogger  # noqa: PLC0415  (`logging` is one of Flower's options)

    from tornado.log import LogFormatter  # noqa: PLC0415

    from producer.telemetry.logs import start_log  # noqa: PLC0415

    root = getLogger()
    if theirs := [handler for handler in root.handlers if isinstance(handler.formatter, LogFormatter)]:
        for handler in theirs:
            root.removeHandler(handler)
        start_log({"flower": INFO})


def _is_protected() -> bool:
    """Return whether Flower asks who one is, by a password or by OAuth, or is said to need neither."""
    passwords = [pair.partition(":") for pair in options.basic_auth or ()]
    has_password = bool(passwords) and all(user and password for user, _, password in passwords)
    is_open = os.environ.get("FLOWER_UNAUTHENTICATED_API", "").lower() in {"1", "true", "yes", "on"}
    return has_password or (not passwords and bool(options.auth or is_open))


def _read_port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= _MAX_PORT:
        sys.exit(f"PORT must be a number from 1 to {_MAX_PORT}")
    return int(text)


if not _is_protected():
    sys.exit(_OPEN_TO_ALL)

_use_our_log()
if "FLOWER_READ_ONLY" not in os.environ:
    read_only = True
if "FLOWER_PURGE_OFFLINE_WORKERS" not in os.environ:
    # A worker has a new name after each start. Flower hides one that has been offline for an hour.
    purge_offline_workers = 3600
if "FLOWER_PORT" not in os.environ and os.environ.get("PORT"):
    port = _read_port(os.environ["PORT"])
