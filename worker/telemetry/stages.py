"""Measures the stages of one attempt of a job."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class StageTimes:
    """How long each stage took, in the order of their ends. Only the thread of the job uses it.

    Attributes:
        seconds: By the stage's name (`check`, `fetch`, `decode`, `encode`, `save`). A stage that raised has an entry
            too; one that never started has none.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - start

    def __str__(self) -> str:
        return " ".join(f"{name}={seconds * 1e3:.1f}ms" for name, seconds in self.seconds.items())
