"""How the worker logs: one line per event to standard error, one line per job, and no query string of any URL."""

from __future__ import annotations

import logging

from producer.contract.urls import redact_text

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_LEVELS = {
    # These repeat, per task, what the pipeline's line says better, and a job that goes back with a traceback.
    "celery.app.trace": logging.ERROR,
    "celery.worker.strategy": logging.WARNING,
    # It warns of every strange answer of every server.
    "urllib3": logging.ERROR,
}


class RedactingFormatter(logging.Formatter):
    """Cuts the query off every URL, tracebacks and other libraries' messages included: signatures live there."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line to write."""
        return redact_text(super().format(record))


def configure_logging(level: str) -> None:
    """Log to standard error: ours from `level` on, libraries their warnings. Safe to call twice."""
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, RedactingFormatter) for handler in root.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(RedactingFormatter(_FORMAT))
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("worker", "celery"):
        logging.getLogger(name).setLevel(level)
    for name, quiet in _LEVELS.items():
        logging.getLogger(name).setLevel(quiet)
