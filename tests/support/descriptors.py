"""Opens so many descriptors that a new one has a number of at least 1024, which `select.select` cannot wait for."""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FD_SETSIZE = 1024
_ROOM = 100


@contextmanager
def many_open_descriptors() -> Iterator[None]:
    """Hold every descriptor below 1024, and raise this process's limit so that others can be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], FD_SETSIZE + _ROOM), limits[1]))
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        while (number := os.open(os.devnull, os.O_RDONLY)) < FD_SETSIZE:
            opened.callback(os.close, number)
        os.close(number)
        yield
