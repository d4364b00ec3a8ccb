"""The worker's log on standard error: at least one line for each job, and no query string of any URL."""

from __future__ import annotations

import logging

from producer.contract.urls import redact_text

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_LEVELS = {
    # These repeat the pipeline's line for each task, and log a traceback for each requeued job.
    "celery.app.trace": logging.ERROR,
    "celery.worker.strategy": logging.WARNING,
    # It warns about every malformed response.
    "urllib3": logging.ERROR,
}


class RedactingFormatter(logging.Formatter):
    """Removes the query string of every URL, which may hold a signature, from all lines, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the formatted line."""
        return redact_text(super().format(record))


def configure_logging(level: str) -> None:
    """Log clipqueue and Celery at `level` and above, other libraries at WARNING and above. May be called twice."""
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, RedactingFormatter) for handler in root.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(RedactingFormatter(_FORMAT))
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("worker", "celery"):
        logging.getLogger(name).setLevel(level)
    for name, library_level in _LEVELS.items():
        logging.getLogger(name).setLevel(library_level)
