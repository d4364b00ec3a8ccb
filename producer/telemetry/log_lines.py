"""The two forms of a line of the log: text for people, and JSON for programs that collect logs.

A line shows no query of a URL, which may hold a signature, and no password of one. Nothing that is logged, however long
or strange, breaks a JSON line or makes two of it.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from typing import Any

from producer.contract.urls import redact_queries

# Docker's json-file driver cuts longer lines into pieces, and no program reads a piece of a JSON object.
MAX_LINE_BYTES = 16 * 1024
_TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
# More is not even looked at, since an error may repeat what a server sent.
_MAX_READ_CHARS = 1_000_000
# How many characters of each text a line keeps: as many as fit.
_LIMITS = (MAX_LINE_BYTES, 4000, 1000, 100)
_USER_AND_PASSWORD = re.compile(r"://[^\s/?#]*@")
# The query and the fragment of a URL of any scheme: REDIS_URL and MONGODB_URI may have a password there. It matches
# URLs without them too: else a text of many of those would take time that grows with its square.
_URL = re.compile(r"(://[^\s?#]*)\S*")
# As urllib3 writes it in its errors.
_URL_WITHOUT_HOST = re.compile(r"( with url: /[^\s?#]*)\S*")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Of Unicode, what ends a line or turns its direction.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_MAX_INTEGER = 2**63
# The attributes that each record has, and those that formatters and other libraries add for themselves.
_OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, message, and a traceback below."""

    def __init__(self) -> None:
        super().__init__(_TEXT_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text, which has several lines if there is a traceback."""
        text = _CONTROL.sub(_escaped, without_secrets(super().format(record)))
        return _shortened(text, MAX_LINE_BYTES // 4)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (logging's name)
        """Return the first lines. Those that a message adds are indented, so that none looks like another record's."""
        return _indented(super().formatMessage(record).rstrip("\n"))

    def formatException(self, ei: Any) -> str:  # noqa: N802  (logging's name)
        """Return a traceback, indented too: its last lines are the text of an error, which may come from a server."""
        return _indented(super().formatException(ei))


class JsonFormatter(logging.Formatter):
    """For programs: one object, in ASCII, with `ts`, `level`, `message`, `logger` and the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, of at most 16 KiB with its end."""
        fields: dict[str, Any] = {
            "ts": _rfc3339(record),
            "level": _level(record.levelno),
            "message": record.getMessage(),
            "logger": record.name,
        }
        for name, value in vars(record).items():
            if name not in _OF_EVERY_RECORD and name[:1] != "_":
                fields.setdefault(name, value)
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        for limit in _LIMITS:
            line = json.dumps({name: _plain(value, limit) for name, value in fields.items()})
            if len(line) < MAX_LINE_BYTES:
                return line
        # So many fields that even short ones do not fit.
        return json.dumps({name: _plain(fields[name], _LIMITS[-1]) for name in ("ts", "level", "message", "logger")})


def without_secrets(text: str) -> str:
    """Remove every query, and the fragment, the user and the password of every URL in a text."""
    if "@" in text and "://" in text:
        text = _USER_AND_PASSWORD.sub("://***@", text)
    if "?" not in text and "#" not in text:  # as in most lines
        return text
    text = redact_queries(_URL.sub(r"\1", text))
    return _URL_WITHOUT_HOST.sub(r"\1", text) if " with url: /" in text else text


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def _rfc3339(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _level(number: int) -> str:
    """Return one of the four levels that Railway's page observability/logs.md names. Datadog and Loki know them too."""
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


def _plain(value: Any, max_chars: int) -> object:
    """Return a value that every JSON parser accepts, and no text of more than about `max_chars` characters."""
    if isinstance(value, str):
        return _plain_text(value, max_chars)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool) or (isinstance(value, int) and -_MAX_INTEGER <= value < _MAX_INTEGER):
        return value
    return _plain_text(_shown(value), max_chars)


def _plain_text(text: str, max_chars: int) -> str:
    text = without_secrets(text[:_MAX_READ_CHARS])
    if not text.isascii():
        text = _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)  # not every parser accepts a lone one
    return _shortened(text, max_chars)


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as exc:  # noqa: BLE001  (whatever is logged, the line must be written)
        return f"<{type(value).__name__} that cannot be shown: {type(exc).__name__}>"


def _shortened(text: str, max_chars: int) -> str:
    """Leave out the middle of a long text, and say so: the end of a traceback says most."""
    if len(text) <= max_chars:
        return text
    half = max_chars // 2
    return f"{text[:half]} ...({len(text) - 2 * half:,} characters left out)... {text[-half:]}"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
