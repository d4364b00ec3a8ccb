"""How the worker logs: one line per event to standard error, one line per job."""

from __future__ import annotations

import logging

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_OURS = ("worker", "celery")
# These repeat, per task, what the pipeline's line says better.
_QUIET = ("celery.app.trace", "celery.worker.strategy")


def configure_logging(level: str) -> None:
    """Log to standard error: ours from `level` on, libraries their warnings. Safe to call twice."""
    logging.basicConfig(level=logging.WARNING, format=_FORMAT)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
