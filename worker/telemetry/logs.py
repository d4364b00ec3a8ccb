"""Sets up the worker's log: which loggers speak, and how Celery's own output becomes lines of it."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

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


def configure_logging(level: str) -> None:
    """Log clipqueue and Celery at `level` and above, other libraries at WARNING and above. May be called twice."""
    start_log({"worker": level, "celery": level, **_LEVELS})


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
