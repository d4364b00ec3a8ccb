"""Says in one sentence why Redis did not do what it was asked, and what to do. Needs redis-py."""

from __future__ import annotations

import builtins
import re
import socket
import ssl
from typing import TYPE_CHECKING

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    InvalidResponse,
    MasterDownError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
    WatchError,
)
from redis.sentinel import MasterNotFoundError

from .redis_errors import error_text, is_failover, is_full
from .redis_options import CLUSTER
from .text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_CHARS = 300
_FULL = (
    "it is full: its memory has reached maxmemory. Start more workers so that the queue shrinks, enqueue more slowly, "
    "or give Redis more memory"
)
_SCHEME = "redis:// or rediss:// in REDIS_URL"
_PERMISSIONS = "give the user in REDIS_URL the permissions that docs/deployment.md lists"
_NOT_READY = "it is not the primary, or not ready: {}; try again soon, or name the primary in REDIS_URL"
_NO_PASSWORD = "it wants a password: put it in REDIS_URL, redis://:password@host:6379/0"  # noqa: S105
_CLOSED = f"it closed the connection: check that it runs, the port and {_SCHEME}"
# What Redis answers, as far as it is the same in all versions, and what that means. The first that matches counts.
_ANSWERS: tuple[tuple[str, str], ...] = (
    ("MISCONF", "it refuses writes because it cannot save them: check its log, and the free space on its disk"),
    ("without any password configured", "it has no password: remove the one in REDIS_URL"),
    ("max number of clients", "it has as many connections as it may have: close some, or raise its maxclients"),
    ("DENIED", "it is in protected mode and answers only its own machine: set a password there"),
    ("DB index", "it has no database of this number: choose a lower one at the end of REDIS_URL, such as /0"),
    ("unknown command", "it lacks a command ({}): use Redis 6.2 or newer, or Valkey, and a provider with all commands"),
    ("BUSY", "a script blocks it: wait, or end the script with SCRIPT KILL"),
    ("Watched variable changed", "another command changed the same keys at that moment: run this one again"),
    ("WRONGTYPE", "another program uses the same key ({}): give it another database of Redis"),
)
# The system's errors, the special ones first.
_SYSTEM_ERRORS: tuple[tuple[type[OSError], str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "its certificate is not trusted ({}): check the host, or name its CA by ssl_ca_certs in REDIS_URL",
    ),
    (ssl.SSLError, f"TLS failed ({{}}): check the port, the certificates and {_SCHEME}"),
    (socket.gaierror, "its name cannot be resolved ({}): check the host in REDIS_URL, and the name servers here"),
    (builtins.TimeoutError, f"it did not answer in TLS in time: check the port and {_SCHEME}"),
    (ConnectionRefusedError, "the connection was refused: check that it runs, and the host and the port in REDIS_URL"),
    (FileNotFoundError, "its socket does not exist: check the path in REDIS_URL, and that it runs"),
    (PermissionError, "its socket may not be opened by this user: check the permissions of the file"),
    (ConnectionError, _CLOSED),
    (OSError, "it cannot be reached ({}): check the host and the network"),
)


def reason_of(exc: Exception, secrets: Sequence[str] = ()) -> str:
    """Return why Redis did not do what it was asked, and what to do.

    Args:
        exc: An error of redis-py, or one of Python below it.
        secrets: Texts that must not appear.
    """
    if not isinstance(exc, RedisError):  # UnicodeError: Python cannot encode the name
        return "its host is not a valid name: correct REDIS_URL"
    if isinstance(exc, WatchError) and isinstance(exc.__context__, RedisError):
        exc = exc.__context__  # a transaction that began with WATCH hides why its connection was lost
    text = _shown(error_text(exc), secrets)
    if is_full(exc):
        return _FULL
    if is_failover(exc):
        is_cluster = isinstance(exc, ClusterDownError) and not isinstance(exc, MasterDownError)
        return CLUSTER if is_cluster else _NOT_READY.format(text)
    for beginning, meaning in _ANSWERS:
        if beginning in text:
            return meaning.format(text)
    if isinstance(exc, ResponseError | AuthenticationError):
        return _answer_reason(exc, text)
    return _connection_reason(exc, text)


def _answer_reason(exc: RedisError, text: str) -> str:
    if isinstance(exc, AuthenticationError):
        is_missing = re.search("required|HELLO must be called", text)
        return _NO_PASSWORD if is_missing else "it refuses the user or the password in REDIS_URL"
    if re.search("NOPERM|no permissions", text, re.IGNORECASE):
        return f"its access rules forbid this ({text}): {_PERMISSIONS}"
    return f"it answered: {text}"


def _connection_reason(exc: RedisError, text: str) -> str:
    """Return why there is no connection, from the system's error below redis-py's."""
    if isinstance(exc, MasterNotFoundError):
        return "no sentinel answered that knows this primary: check the sentinels and master_name in REDIS_URL"
    if isinstance(exc, InvalidResponse):
        return f"something else than Redis answers there, or it needs TLS: check the host, the port and {_SCHEME}"
    cause = _system_error(exc)
    if isinstance(exc, TimeoutError) and "handshake" not in str(cause):
        return f"it did not answer in time ({text}): check that it runs and can be reached from here"
    for kind, meaning in _SYSTEM_ERRORS:
        if isinstance(cause, kind):
            return meaning.format(_detail(cause))
    return _CLOSED if "closed" in text else f"it cannot be reached: {text}"


def _system_error(exc: BaseException | None) -> OSError | None:
    while exc is not None and not isinstance(exc, OSError):
        exc = exc.__cause__ or exc.__context__
    return exc


def _detail(cause: OSError) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return str(cause.verify_message).rstrip(".")
    if isinstance(cause, ssl.SSLError):
        return str(cause.reason or "no reason given").lower().replace("_", " ")
    return str(cause.strerror)


def _shown(text: str, secrets: Sequence[str]) -> str:
    text = text.partition(", with args")[0]  # they may be a job with a signed URL
    for secret in secrets:
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return printable(text, _MAX_CHARS).rstrip(".")
