"""Counts vectors that another program wrote and that a search must change or leave out, and says so in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from producer.contract.records import BsonId

_log = logging.getLogger(__name__)

UNUSABLE = "a vector of another length than the model's, or none that can be compared: searches leave them out"
LONG_OR_SHORT = "a vector that is not of unit length: searches use only its direction"


class Oddities:
    """The images with such a vector."""

    def __init__(self) -> None:
        self._found: dict[str, set[BsonId]] = {UNUSABLE: set(), LONG_OR_SHORT: set()}
        self._reported = dict.fromkeys(self._found, 0)

    def note(self, document_id: BsonId, oddity: str | None) -> None:
        """Note what is odd about an image's vector; None if nothing is."""
        for one, found in self._found.items():
            if one == oddity:
                found.add(document_id)
            else:
                found.discard(document_id)

    def keep(self, document_ids: set[BsonId]) -> None:
        """Forget all other images."""
        for found in self._found.values():
            found.intersection_update(document_ids)

    def report(self) -> None:
        """Log each count that has grown since the last call."""
        for oddity, found in self._found.items():
            if len(found) > self._reported[oddity]:
                _log.warning("%d images have %s (for example %s)", len(found), oddity, next(iter(found)))
            self._reported[oddity] = len(found)
