"""Flower's configuration: a password, no changes, bounded memory, a file for the tasks, and the platform's PORT.

    celery -A worker.app flower --conf=worker/flowerconfig.py

Flower runs this file and takes its variables as options. Flower's own environment variables, such as FLOWER_READ_ONLY,
and the options of the command line win.
"""

import os
import re
import sys
import tempfile
from logging import INFO, getLogger  # `logging` is one of the options' names
from pathlib import Path

from tornado.options import options

_MAX_PORT = 65_535
_OPEN_TO_ALL = (
    "Flower does not start without a password, because it shows the ids and URLs of all jobs: set FLOWER_BASIC_AUTH to "
    "user:password. Set FLOWER_UNAUTHENTICATED_API=true if only you can reach it."
)


def _use_our_log() -> None:
    """Replace the handler that Tornado has set up: it writes to standard error, which platforms show as errors."""
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


def _can_keep(file: Path) -> bool:
    """Return whether Flower can write its file, and log it. Flower itself would log a traceback at each attempt."""
    log = getLogger("flower.clipqueue")
    try:
        tempfile.TemporaryFile(dir=file.parent).close()
    except OSError as exc:
        log.warning("Flower forgets its tasks when it ends: it cannot write to %s (%s)", file.parent, exc.strerror)
        return False
    log.info("Flower keeps its tasks in %s", file)
    return True


if not _is_protected():
    sys.exit(_OPEN_TO_ALL)

_use_our_log()
if "FLOWER_READ_ONLY" not in os.environ:
    read_only = True
# Flower's own limits, 100,000 tasks and 5000 workers, would take five times as much memory.
if "FLOWER_MAX_TASKS" not in os.environ:
    max_tasks = 20_000
if "FLOWER_MAX_WORKERS" not in os.environ:
    max_workers = 1000
if "FLOWER_PURGE_OFFLINE_WORKERS" not in os.environ:
    # A worker has a new name after each start. Flower hides one that has been offline for an hour.
    purge_offline_workers = 3600
if "FLOWER_ENABLE_EVENTS" not in os.environ:
    # Every five seconds, Flower would tell all workers to send events, which they do anyway.
    enable_events = False
if "FLOWER_TASKS_COLUMNS" not in os.environ:
    # The name is the same for all tasks. The UUID is the link to a task, and the arguments begin with the image id.
    tasks_columns = "uuid,kwargs,state,exception,received,runtime,retries,worker"
if "FLOWER_DB" not in os.environ:
    db = "flower-state"
if "FLOWER_PERSISTENT" not in os.environ:
    persistent = _can_keep(Path(os.environ.get("FLOWER_DB", "flower-state")).absolute())
if "FLOWER_STATE_SAVE_INTERVAL" not in os.environ:
    # In milliseconds. Flower saves when it is stopped, and this often in case that it is killed.
    state_save_interval = 60_000
if "FLOWER_PORT" not in os.environ and os.environ.get("PORT"):
    port = _read_port(os.environ["PORT"])
