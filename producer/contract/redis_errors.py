"""Finds the errors of Redis that mean: this server is not, or no longer, the primary. Needs redis-py."""

from __future__ import annotations

import re

from redis.exceptions import BusyLoadingError, ClusterDownError, OutOfMemoryError, ReadOnlyError, ResponseError

_CODES = "READONLY|MASTERDOWN|CLUSTERDOWN|LOADING|UNBLOCKED|NOREPLICAS"
# redis-py has no class for each code, and removes the code of those that it has a class for. An old server wraps an
# error inside a script, and EXEC an error of the whole transaction; redis-py's pipelines put the command before it.
_FAILOVER = re.compile(
    rf"^(?:ERR )?(?:Error running script .*-|(?:EXECABORT )?Transaction discarded because of: )?(?:{_CODES})\b",
    re.DOTALL,
)
_FULL = re.compile(
    r"^(?:ERR )?(?:Error running script .*-|(?:EXECABORT )?Transaction discarded because of: )?OOM\b", re.DOTALL
)
_AFTER_COMMAND = " caused error: "


def is_failover(exc: BaseException) -> bool:
    """Return whether an error means that this server does not serve as a primary now.

    The server may keep the connection open, so the caller must drop all its connections to find the new primary. True
    for READONLY, MASTERDOWN, CLUSTERDOWN, LOADING, UNBLOCKED and NOREPLICAS, in a script, a transaction or a pipeline
    too. False for errors that a new connection does not mend (OOM, MISCONF, NOPERM), and for broken connections, which
    redis-py drops by itself.
    """
    if isinstance(exc, ReadOnlyError | ClusterDownError | BusyLoadingError):  # MasterDownError is a ClusterDownError
        return True
    return isinstance(exc, ResponseError) and bool(_FAILOVER.match(error_text(exc)))


def is_full(exc: BaseException) -> bool:
    """Return whether Redis refused a write because its memory has reached `maxmemory`."""
    return isinstance(exc, OutOfMemoryError) or (isinstance(exc, ResponseError) and bool(_FULL.match(error_text(exc))))


def error_text(exc: BaseException) -> str:
    """Return an error's text without the command of a pipeline, which may repeat a signed URL."""
    return str(exc).rpartition(_AFTER_COMMAND)[2]
