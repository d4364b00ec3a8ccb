"""Measures the stages of one attempt of a job."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.telemetry.spans import is_traced, stage_span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class StageTimes:
    """How long each stage took, in the order of their ends. Only the thread of the job uses it.

    Attributes:
        seconds: By the stage's name (`check`, `fetch`, `decode`, `encode`, `save`). A stage that raised has an entry
            too; one that never started has none.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._is_traced = is_traced()

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Measure one stage, and trace it if the job is traced: the block of a `with` statement."""
        return self._traced(name) if self._is_traced else _Stage(self.seconds, name)

    @contextmanager
    def _traced(self, name: str) -> Iterator[None]:
        with _Stage(self.seconds, name), stage_span(name):
            yield

    def __str__(self) -> str:
        return " ".join(f"{name}={seconds * 1e3:.1f}ms" for name, seconds in self.seconds.items())


class _Stage:
    """A class, because the generator of `contextlib.contextmanager` costs each job 5 microseconds more."""

    __slots__ = ("_name", "_seconds", "_start")

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds = seconds
        self._name = name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._name] = time.perf_counter() - self._start
