"""Keeps the vectors of one model in memory, in blocks that readers can use while a writer adds to them.

A row is written once and never changed. A changed image gets a new row, and its old row is marked as dead. So a reader
works on a `Snapshot` without a lock. A block in which a quarter of the rows are dead is copied to the end and dropped,
so at most about a third of the memory is spent on dead rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from producer.search.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from producer.contract.records import BsonId
    from producer.search.columns import Codes, Mask
    from producer.search.vectors import Matrix, Vector

BLOCK_ROWS = 8192
_MAX_DEAD = 0.25
# So many values of a field that no row has are kept, besides two for each row.
_SPARE_VALUES = 1000


@dataclass(frozen=True)
class Row:
    """An image to add.

    Attributes:
        document_id: The document's `_id`.
        vector: Its vector, with unit length.
        version: A number that changes when the document's job changes.
        document: The document, for its filter fields.
    """

    document_id: BsonId
    vector: Vector
    version: int
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Block:
    """Some rows. The arrays may be longer than `count`: a writer adds rows behind it.

    Attributes:
        number: The block's number, which no other block of the table has.
        vectors: Of shape (BLOCK_ROWS, dim).
        ids: The `_id` of each row.
        codes: The codes of the filter fields, of shape (BLOCK_ROWS, fields).
        versions: The version of each row.
        alive: Whether a row is current. A writer replaces this array, and never changes it.
        count: The number of rows.
    """

    number: int
    vectors: Matrix
    ids: list[BsonId]
    codes: Codes
    versions: NDArray[np.int64]
    alive: Mask
    count: int


@dataclass(frozen=True)
class Snapshot:
    """The rows of a table at one time."""

    blocks: tuple[Block, ...]
    columns: Columns
    count: int

    def rows(self) -> Iterator[tuple[Block, int]]:
        """Yield each current row, as its block and its index in the block."""
        for block in self.blocks:
            for index in np.flatnonzero(block.alive[: block.count]):
                yield block, int(index)


class Table:
    """The rows of one model. Only one thread at a time may change it; `snapshot` may be called from any thread."""

    def __init__(self, dim: int, fields: Sequence[str], block_rows: int = BLOCK_ROWS) -> None:
        self.dim = dim
        self._columns = Columns(fields)
        self._block_rows = block_rows
        self._blocks: dict[int, Block] = {}
        self._places: dict[BsonId, tuple[int, int]] = {}
        self._next_number = 0
        self._snapshot = Snapshot((), self._columns, 0)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def snapshot(self) -> Snapshot:
        """The rows as of the last `publish`."""
        return self._snapshot

    def publish(self) -> None:
        """Show the changes to readers."""
        self._snapshot = Snapshot(tuple(self._blocks.values()), self._columns, len(self))

    def ids(self) -> set[BsonId]:
        """Return the `_id`s of all rows."""
        return set(self._places)

    def version(self, document_id: BsonId) -> int | None:
        """Return the version of an image; None if it has no row."""
        place = self._places.get(document_id)
        return None if place is None else int(self._blocks[place[0]].versions[place[1]])

    def codes_differ(self, document_id: BsonId, document: Mapping[str, Any]) -> bool:
        """Return whether the document's filter fields have changed."""
        number, index = self._places[document_id]
        known: list[int] = self._blocks[number].codes[index].tolist()
        return self._columns.encode(document) != known

    def vector(self, document_id: BsonId) -> Vector:
        """Return the vector of an image that has a row."""
        number, index = self._places[document_id]
        vector: Vector = self._blocks[number].vectors[index]
        return vector

    def put(self, rows: Iterable[Row]) -> None:
        """Add images, or replace them."""
        for row in rows:
            self.remove([row.document_id])
            self._append(row.document_id, row.vector, self._columns.encode(row.document), row.version)

    def remove(self, document_ids: Iterable[BsonId]) -> None:
        """Remove the images that have a row."""
        dead: dict[int, list[int]] = {}
        for document_id in document_ids:
            if (place := self._places.pop(document_id, None)) is not None:
                dead.setdefault(place[0], []).append(place[1])
        for number, indices in dead.items():
            alive = self._blocks[number].alive.copy()
            alive[indices] = False
            self._blocks[number] = replace(self._blocks[number], alive=alive)

    def compact(self) -> None:
        """Copy the rows of blocks with many dead rows to the end, and drop these blocks; forget values of no row."""
        self._copy_sparse_blocks()
        if self._columns.distinct() > 2 * len(self) + _SPARE_VALUES:
            self._forget_values()

    def _forget_values(self) -> None:
        """Drop the values that fields had earlier. Readers keep the columns and the codes that they have."""
        blocks = list(self._blocks.values())
        self._columns, codes = self._columns.without_unused([block.codes[: block.count] for block in blocks])
        for block, known in zip(blocks, codes, strict=True):
            new = np.zeros_like(block.codes)
            new[: block.count] = known
            self._blocks[block.number] = replace(block, codes=new)

    def _copy_sparse_blocks(self) -> None:
        for number, block in list(self._blocks.items()):
            is_full = block.count == self._block_rows
            current = np.flatnonzero(block.alive[: block.count])
            if not is_full or len(current) > (1 - _MAX_DEAD) * block.count:
                continue
            for index in map(int, current):
                self._append(block.ids[index], block.vectors[index], block.codes[index], block.versions[index])
            del self._blocks[number]

    def _append(self, document_id: BsonId, vector: Vector, codes: Sequence[int] | Codes, version: int) -> None:
        block = self._last_block()
        index = block.count
        block.vectors[index] = vector
        block.codes[index] = codes
        block.versions[index] = version
        block.ids.append(document_id)
        self._blocks[block.number] = replace(block, count=index + 1)
        self._places[document_id] = (block.number, index)

    def _last_block(self) -> Block:
        last = next(reversed(self._blocks.values()), None)
        if last is None or last.count == self._block_rows:
            last = self._new_block()
            self._blocks[last.number] = last
        return last

    def _new_block(self) -> Block:
        rows = self._block_rows
        self._next_number += 1
        return Block(
            number=self._next_number,
            vectors=np.empty((rows, self.dim), np.float32),
            ids=[],
            codes=np.zeros((rows, len(self._columns.fields)), np.int32),
            versions=np.zeros(rows, np.int64),
            alive=np.ones(rows, np.bool_),
            count=0,
        )
