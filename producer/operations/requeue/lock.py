"""The lock of a sweep. A thread renews it for as long as the sweep runs, however slowly MongoDB answers."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from redis.exceptions import LockError

from producer.contract.errors import ClipqueueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis.lock import Lock

    from producer.client.broker import Broker

_FAILURE = "failed during the sweep"


class SweepLockLost(ClipqueueError):
    """The sweep does not hold its lock any more, so another one may be running."""


@contextmanager
def hold_lock(broker: Broker, key: str, seconds: float) -> Iterator[Callable[[], None] | None]:
    """Hold the lock for a block.

    Args:
        broker: The Redis of the queue.
        key: The lock's key.
        seconds: After this time, the lock of a process that was killed expires.

    Yields:
        None if another process holds the lock. Else a function that renews it, and raises SweepLockLost if it is lost.

    Raises:
        BrokerUnavailable: Redis could not be reached.
    """
    with broker.commands(_FAILURE) as redis:
        lock = redis.lock(key, timeout=seconds, thread_local=False)
        is_held = lock.acquire(blocking=False)
    if not is_held:
        yield None
        return

    def renew() -> None:
        with broker.commands(_FAILURE):
            _renew(lock, seconds)

    try:
        with _renewing(renew, seconds / 3):
            yield renew
    finally:
        with suppress(ClipqueueError, LockError), broker.commands(_FAILURE):  # it may have expired
            lock.release()


def _renew(lock: Lock, seconds: float) -> None:
    try:
        lock.reacquire()
    except LockError:
        raise SweepLockLost(
            f"this sweep has lost its lock and stopped: Redis has lost it, or this process stood still for {seconds:g} "
            "s; another sweep may be running"
        ) from None


@contextmanager
def _renewing(renew: Callable[[], None], every_s: float) -> Iterator[None]:
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.wait(every_s):
            with suppress(ClipqueueError):  # the sweep finds out itself
                renew()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
