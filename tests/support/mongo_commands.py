"""Records the commands that clients send to MongoDB, with all their options."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pymongo import monitoring

if TYPE_CHECKING:
    from collections.abc import Iterator

READS = ("find", "aggregate", "count")
WRITES = ("insert", "update", "delete")


class _Recorder(monitoring.CommandListener):
    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []
        self.is_active = True

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.is_active:
            self.commands.append(dict(event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@contextmanager
def recorded_commands() -> Iterator[list[dict[str, Any]]]:
    """Yield the commands of every pymongo or motor client that is created in the block, in the order of sending."""
    recorder = _Recorder()
    monitoring.register(recorder)  # for good: pymongo cannot remove it
    try:
        yield recorder.commands
    finally:
        recorder.is_active = False
