"""Finds groups of near-duplicates among all vectors, a few rows at a time: it never holds the cosines of all pairs.

Rows that have a near-duplicate are compared next, so a group is complete early. A row that has been compared with all
others is left out from then on, so each pair is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from producer.search.candidates import SCORE_DIGITS, place_of
from producer.search.components import Components

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from producer.contract.records import BsonId
    from producer.search.blocks import Block, Snapshot
    from producer.search.components import Rows
    from producer.search.vectors import Vector

# A batch is compared with one block after the other: 8,192 x 256 cosines are 8 MiB.
BATCH_ROWS = 256
_SAME = 10**-SCORE_DIGITS / 2


@dataclass(frozen=True)
class Member:
    """An image of a group.

    Attributes:
        document_id: The document's `_id`.
        cosine: The cosine of its vector and that of the group's first image.
    """

    document_id: BsonId
    cosine: float


def find_groups(
    snapshot: Snapshot, threshold: float, progress: Callable[[int, int], None] | None = None
) -> Iterator[list[list[Member]]]:
    """Yield the groups that are complete after each batch, each ordered by id.

    Args:
        snapshot: The vectors.
        threshold: Two images with at least this cosine are in one group.
        progress: Called after each batch with the number of images compared, and of all images.
    """
    rows = _Rows(snapshot)
    components = Components(rows.count)
    components.close(np.flatnonzero(~rows.alive).tolist())
    following = (row for row in range(rows.count) if components.take(row))
    compared = 0
    while batch := _next_batch(components, following):
        for first, second in rows.similar(batch, components, threshold - _SAME):
            components.connect(first, second)
        complete = components.close(batch)
        compared += len(batch)
        if progress is not None:
            progress(compared, snapshot.count)
        if complete:
            yield [rows.members(group) for group in complete]


def _next_batch(components: Components, following: Iterator[int]) -> list[int]:
    queued = components.take_queued(BATCH_ROWS)
    return [*queued, *islice(following, BATCH_ROWS - len(queued))]


class _Rows:
    """The rows of a snapshot, numbered across its blocks."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._blocks = snapshot.blocks
        self._starts = np.cumsum([0, *(block.count for block in snapshot.blocks)])
        self.count = int(self._starts[-1])
        alive = [block.alive[: block.count] for block in snapshot.blocks]
        self.alive = np.concatenate([np.zeros(0, np.bool_), *alive])

    def similar(self, batch: Sequence[int], components: Components, least: float) -> Iterator[tuple[Rows, Rows]]:
        """Yield pairs of a row of the batch and an open row that are similar, as two arrays."""
        numbers = np.array(batch)
        vectors = np.stack([self._vector(row) for row in batch])
        for block, start in zip(self._blocks, self._starts, strict=False):
            is_open = components.is_open[start : start + block.count]
            first = int(np.argmax(is_open))  # rows are mostly closed in their order
            if not is_open[first]:
                continue
            are_similar = block.vectors[first : block.count] @ vectors.T >= least
            are_similar[~is_open[first:]] = False
            if are_similar.any():
                others, places = np.nonzero(are_similar)
                others += start + first
                differ = others != numbers[places]
                yield numbers[places[differ]], others[differ]

    def members(self, group: Sequence[int]) -> list[Member]:
        """Return the images of a group, ordered by id."""
        ordered = sorted(group, key=lambda row: place_of(0, self._id(row)))
        first = self._vector(ordered[0])
        return [Member(self._id(row), round(float(self._vector(row) @ first), SCORE_DIGITS)) for row in ordered]

    def _vector(self, row: int) -> Vector:
        block, index = self._place(row)
        vector: Vector = block.vectors[index]
        return vector

    def _id(self, row: int) -> BsonId:
        block, index = self._place(row)
        return block.ids[index]

    def _place(self, row: int) -> tuple[Block, int]:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._blocks[number], row - int(self._starts[number])
