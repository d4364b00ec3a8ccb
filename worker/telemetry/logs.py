"""Sets up the worker's log: which loggers speak, and how Celery's own output becomes lines of it."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from producer.telemetry.log_rate import RoutineLines
from producer.telemetry.logs import log_format, start_log

if TYPE_CHECKING:
    from worker.settings import Settings

logger = logging.getLogger(__name__)

_LEVELS = {
    # These repeat the line of each job, and log a traceback for each requeued job.
    "celery.app.trace": logging.ERROR,
    "celery.worker.strategy": logging.WARNING,
    # It warns about every malformed response.
    "urllib3": logging.ERROR,
}


# One line for each query that is answered.
_QUERIES = ("worker.queries.texts", "worker.queries.pictures")
_QUERIES_PER_S = 50.0


def configure_logging(settings: Settings) -> None:
    """Log clipqueue and Celery at the level of the settings, other libraries at WARNING and above. Call it once."""
    level = settings.log_level
    start_log({"worker": level, "celery": level, **_LEVELS})
    if settings.log_jobs == "auto":
        for name in _QUERIES:
            logging.getLogger(name).addFilter(RoutineLines(_QUERIES_PER_S))


def quiet_celery(worker: Any) -> None:
    """Keep Celery's banner and its remarks about signals out of a log in JSON, whose lines a program reads.

    Celery writes them to `sys.__stdout__`, which may be None (Python's documentation of `sys`); then it writes nothing.
    """
    if log_format() == "json":
        worker.quiet = True
        sys.__stdout__ = None  # type: ignore[misc]


def log_start(settings: Settings, node: str) -> None:
    """Log what starts, as the banner says it."""
    logger.info(
        "clipqueue %s starts as %s: serves %s with the model %s/%s",
        version("clipqueue"),
        node,
        settings.serve,
        settings.clip_model,
        settings.clip_pretrained,
    )
