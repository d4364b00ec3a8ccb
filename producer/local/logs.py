"""Shows the operator of `clipqueue up` what the log files of the worker and the API say."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_TAIL_LINES = 15
_POLL_S = 0.2
_PROBLEM = re.compile(r"\d{4}-\d\d-\d\d \S+ (WARNING|ERROR|CRITICAL) ")


def tail(log: Path) -> str:
    """Return the last lines of a log file, for the end of a message; empty if there are none."""
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:] if log.exists() else []
    return "".join(f"\n  {line}" for line in lines)


@contextmanager
def shown(logs: list[Path], show: Callable[[str], None], *, verbose: bool) -> Iterator[None]:
    """Show the lines that are written to log files during a block: warnings and errors, or all if `verbose`."""
    is_over = threading.Event()
    new = [_NewLines(log) for log in logs]

    def follow() -> None:
        while True:
            is_last = is_over.wait(_POLL_S)
            for line in (line for one in new for line in one.read()):
                if verbose or _PROBLEM.match(line):
                    show(line)
            if is_last:
                return

    thread = threading.Thread(target=follow, name="logs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class _NewLines:
    """The lines that are added to a file, which need not exist yet."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = log.stat().st_size if log.exists() else 0

    def read(self) -> list[str]:
        """Return the complete lines since the last call."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        complete = added[: added.rfind(b"\n") + 1]
        self._offset += len(complete)
        return complete.decode(errors="replace").splitlines()
