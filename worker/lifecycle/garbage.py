"""Pauses Python's garbage collector while a model is loaded."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def nothing_is_garbage() -> Iterator[None]:
    """Collect no garbage during a block, nor ever search in what is alive at its end.

    The import of torch and open_clip creates a million objects that live as long as the process. The collector would
    search them again and again: a quarter of the CPU time of a worker's start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
