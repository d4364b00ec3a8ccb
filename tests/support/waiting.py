"""Waiting for what other processes do: poll until it is so, with a deadline that only a defect reaches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def wait_for(probe: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """Return the first truthy value of `probe`; fail with `what` if there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
    return value
