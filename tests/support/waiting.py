"""Polling for what other processes do, with a deadline that only a bug reaches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def wait_for(probe: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """Call `probe` until it returns a truthy value, and return that; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)
    return value
