"""Repeats a transaction that began with WATCH, when another command changed the watched keys meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import WatchError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# redis-py would try for ever. But a connection that is lost looks the same, so a Redis that takes no writes would never
# be reported.
_TRIES = 10


def repeat_watched(transaction: Callable[[], T]) -> T:
    """Return what the transaction returns.

    Args:
        transaction: Watches, reads and executes. It is called again after a WatchError.

    Raises:
        WatchError: It failed in each of 10 attempts.
    """
    for _ in range(_TRIES - 1):
        try:
            return transaction()
        except WatchError:
            continue
    return transaction()
