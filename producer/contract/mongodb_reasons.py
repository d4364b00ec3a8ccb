"""Says in one sentence why MongoDB did not do what it was asked, and what to do. Needs pymongo.

pymongo's own texts describe its settings and the whole topology, and may repeat a document, and with it a signed URL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pymongo.errors import ConnectionFailure, DocumentTooLarge, NotPrimaryError, OperationFailure, ProtocolError

from .text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.errors import PyMongoError

_MAX_CHARS = 200
_ATLAS = 8000
_LOGIN = "it refuses the user or the password in MONGODB_URI: check both, and the option authSource"
_NOT_ALLOWED = "the user in MONGODB_URI may not do this: give it the role readWrite on the database"
_FULL = "its disk is full or its quota used up: delete something, or give it more space"
_TOO_LARGE = "a document would be larger than MongoDB allows (16 MiB)"
_SLOW = "it took longer than it may: an index may be missing, see clipqueue doctor"
_OLD = "this server does not know the command: it may be too old, or only compatible with MongoDB"
_MEANINGS: Mapping[int, str] = {
    13: _NOT_ALLOWED,
    18: _LOGIN,
    50: _SLOW,
    262: _SLOW,
    59: _OLD,
    115: _OLD,
    64: "too few replicas confirmed the write in time: check the replica set",
    79: "it does not know this write concern: correct w in MONGODB_URI",
    100: "the replica set has too few members for this write concern: check its members, and w in MONGODB_URI",
    10334: _TOO_LARGE,
    17280: _TOO_LARGE,
    17419: _TOO_LARGE,
    17420: _TOO_LARGE,
    14031: _FULL,
}
_ATLAS_TEXTS = (("quota", _FULL), ("not allowed", _NOT_ALLOWED), ("not authorized", _NOT_ALLOWED), ("auth", _LOGIN))
# What the system or pymongo says about a connection, and what that means. The first that is found counts.
_CONNECTION: tuple[tuple[str, str], ...] = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted ({}): check the host, or name its CA by tlsCAFile"),
    (r"SSL|_ssl\.c|TLS", "TLS failed: check the port, and whether MongoDB uses TLS there (tls=true in MONGODB_URI)"),
    ("refused", "the connection was refused: check that it runs, and the host and the port in MONGODB_URI"),
    (
        "Name or service|nodename|name resolution|getaddrinfo|No address",
        "the name cannot be resolved: check the host in MONGODB_URI, and the name servers here",
    ),
    ("timed out|imeout", "no answer in time: check that it runs, can be reached from here, and allows this address"),
    (
        "replica set name|for replica set",
        "no member of the replica set was found: check replicaSet in MONGODB_URI, and whether it has a primary",
    ),
    ("[Nn]o primary|No servers|No replica set", "the replica set has no primary now: try again soon"),
    (
        "closed|reset|[Bb]roken pipe",
        "the connection was closed: check the port, and whether MongoDB needs TLS (tls=true in MONGODB_URI)",
    ),
)


def reason_of(exc: PyMongoError) -> str:
    """Return why MongoDB did not do what it was asked, and what to do. It is safe to show."""
    if isinstance(exc, NotPrimaryError):
        return "its primary is changing: try again soon"
    if isinstance(exc, DocumentTooLarge):
        return _TOO_LARGE
    if isinstance(exc, ConnectionFailure):
        return _connection_reason(exc)
    if isinstance(exc, OperationFailure):
        return _answer_reason(exc)
    return type(exc).__name__


def _answer_reason(exc: OperationFailure) -> str:
    name = printable(str((exc.details or {}).get("codeName") or f"error {exc.code}"))
    if exc.code == _ATLAS:  # which Atlas uses for all that it adds
        text = str((exc.details or {}).get("errmsg")).lower()
        meaning = next((meaning for part, meaning in _ATLAS_TEXTS if part in text), None)
    else:
        meaning = _MEANINGS.get(exc.code or 0)
    return f"{meaning} ({name})" if meaning else name


def _connection_reason(exc: ConnectionFailure) -> str:
    text = str(exc).partition(" (configured timeouts")[0].partition(", Timeout: ")[0]
    if isinstance(exc, ProtocolError) or text.startswith("Got response id"):
        return "something else than MongoDB answers there: check the host and the port in MONGODB_URI"
    found = re.search(r"(?:^|: )(\[?[\w.:-]+\]?:\d+): ", text)
    where = f"{found[1]}: " if found else ""
    for pattern, meaning in _CONNECTION:
        if re.search(pattern, text):
            detail = re.search(r"certificate verify failed: ([^(]*)", text)
            return where + meaning.format(printable(detail[1].strip(" .")) if detail else "no reason given")
    return printable(text, _MAX_CHARS)
