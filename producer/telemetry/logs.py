"""Sets up the log of a process that runs until it is stopped: its form, its place, and what goes there.

All lines go to standard output, because platforms such as Railway show what is written to standard error as an error.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from typing import TYPE_CHECKING, Literal, NoReturn

from producer.contract.errors import ConfigurationError
from producer.telemetry.log_lines import JsonFormatter, TextFormatter
from producer.telemetry.log_output import LogOutput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

logger = logging.getLogger(__name__)

Form = Literal["text", "json"]
VARIABLE = "CLIPQUEUE_LOG_FORMAT"
# What Foreman (lib/foreman/engine.rb) gives its processes, whose output it shows to whoever started it. Its value is
# `worker.1`; other programs have a PS too.
_FOREMAN = re.compile(r"[\w-]+\.[0-9]+")


def log_format(shell: Mapping[str, str] = os.environ) -> Form:
    """Return the form that CLIPQUEUE_LOG_FORMAT asks for; `auto`, the default, is text for people and JSON otherwise.

    Raises:
        ConfigurationError: The variable has another value.
    """
    match shell.get(VARIABLE) or "auto":
        case "text" | "json" as form:
            return form
        case "auto":
            return _automatic(shell)
    raise ConfigurationError(f"{VARIABLE} must be auto, text or json")


def start_log(levels: Mapping[str, str | int], form: Form | None = None) -> None:
    """Write the log to standard output: these loggers at their levels, all others at WARNING and above.

    Warnings, and exceptions that nobody catches, go there too. May be called again, with other levels.

    Raises:
        ConfigurationError: CLIPQUEUE_LOG_FORMAT has an unknown value, and `form` does not override it.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, LogOutput) for handler in root.handlers):
        root.addHandler(_output(form or log_format()))
        logging.captureWarnings(capture=True)
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_uncaught_in_thread
    root.setLevel(logging.WARNING)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def exit_with(message: str) -> NoReturn:
    """End a process that cannot start. People get the message alone; in JSON, it is a line of the log."""
    try:
        form = log_format()
    except ConfigurationError:
        form = _automatic(os.environ)
    if form == "text":
        sys.stderr.write(f"{message}\n")
        sys.exit(1)
    start_log({}, form)
    logger.critical(message)
    sys.exit(1)


def _automatic(shell: Mapping[str, str]) -> Form:
    """Return text if standard output is a terminal, or leads to that of honcho or Foreman."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    is_foreman = bool(_FOREMAN.fullmatch(shell.get("PS", "")))
    return "text" if is_terminal or is_foreman or shell.get("HONCHO_PROCESS_NAME") else "json"


def _output(form: Form) -> logging.Handler:
    if sys.stdout is None:  # closed before the start; another file may have its number now
        return logging.NullHandler()
    output = LogOutput(sys.stdout.fileno())
    output.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    return output


def _log_uncaught(kind: type[BaseException], exc: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        logger.critical("an unexpected error ends the process", exc_info=(kind, exc, traceback))
    else:  # such as Ctrl-C
        sys.__excepthook__(kind, exc, traceback)


def _log_uncaught_in_thread(ended: threading.ExceptHookArgs) -> None:
    if isinstance(ended.exc_value, Exception):
        name = ended.thread.name if ended.thread else "?"
        logger.error("an unexpected error has ended the thread %s", name, exc_info=ended.exc_value)
