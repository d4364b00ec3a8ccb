"""Reads the failures from MongoDB: the counts by code, and the newest images of the code that is looked into."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.documents.failures import FailureGroup, Sample, find_failures, find_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pymongo.collection import Collection

# The most frequent codes. Each costs MongoDB a request for its newest message.
MAX_CODES = 30
MAX_SAMPLES = 100
_EVERY_S = 15.0
# Of a million failures, the counts take seconds. So MongoDB works for at most a tenth of the time.
_PAUSE_FACTOR = 10


@dataclass(frozen=True)
class Failures:
    """What MongoDB says.

    Attributes:
        at_s: When the counts were read, by `time.monotonic`.
        groups: The failures by code, the most frequent first.
        code: The code that is looked into, as it is in the documents; see `samples`.
        samples: Its newest failures; None if no code is looked into.
    """

    at_s: float
    groups: Sequence[FailureGroup]
    code: Any = None
    samples: Sequence[Sample] | None = None


class FailureReader:
    """Reads the failures in a thread of its own. The counts are read every 15 seconds, or less often if they take long.

    Args:
        documents: The collection.
        clock: Seconds.

    Attributes:
        looked_into: A list with the code that is looked into, as it is in the documents, or an empty list.
    """

    def __init__(self, documents: Collection[dict[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self.looked_into: list[Any] = []
        self._documents = documents
        self._clock = clock
        self._groups: Sequence[FailureGroup] = ()
        self._read_at_s = self._due_s = float("-inf")

    def read(self) -> Failures:
        """Return the counts, read anew if they are due, and the newest failures of the code that is looked into.

        Raises:
            StoreUnavailable: MongoDB cannot be reached, or does not answer in time.
        """
        looked_into = list(self.looked_into)
        samples = [find_samples(self._documents, code, MAX_SAMPLES) for code in looked_into]
        begun = self._clock()
        if begun >= self._due_s:
            self._groups = find_failures(self._documents, None, 1, MAX_CODES)
            self._read_at_s = self._clock()
            self._due_s = self._read_at_s + max(_EVERY_S, _PAUSE_FACTOR * (self._read_at_s - begun))
        return Failures(self._read_at_s, self._groups, *looked_into, *samples)

    def pause_s(self) -> float:
        """Return the seconds until the next read."""
        return max(min(self._due_s - self._clock(), _EVERY_S), 1.0) if self._due_s > 0 else _EVERY_S
