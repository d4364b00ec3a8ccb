"""Reads the rows of an input as `clipqueue enqueue --from` does, without a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.contract.errors import InvalidJob
from producer.operations.input.columns import Columns
from producer.operations.input.lines import Lines
from producer.operations.input.read import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from producer.contract.ids import ImageId
    from producer.operations.input.rows import Row

Read = tuple[str, "ImageId", str] | tuple[str, str]


def read(
    content: str | bytes, *, columns: str | None = None, delimiter: str | None = None, id_type: str | None = None
) -> list[Read]:
    """Return the source, id and URL of each row, or the source and the problem."""
    return list(map_rows(_rows([_encoded(content)], columns, delimiter), id_type))


def read_in_pieces(content: str | bytes, sizes: Iterable[int]) -> list[Read]:
    """As `read`, of an input that arrives in pieces of these sizes, then the rest."""
    rest = _encoded(content)
    pieces = []
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    return list(map_rows(_rows([*pieces, rest], None, None)))


def pairs(rows: list[Read]) -> list[tuple[object, ...]]:
    """Return the rows without their sources."""
    return [row[1:] for row in rows]


def map_rows(rows: Iterable[Row], id_type: str | None = None) -> Iterable[Read]:
    """Yield each row as `read` returns it."""
    for row in rows:
        try:
            yield row.source, row.checked_id(id_type), row.url
        except InvalidJob as exc:
            yield row.source, str(exc)


def _encoded(content: str | bytes) -> bytes:
    return content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content


def _rows(pieces: list[bytes], columns: str | None, delimiter: str | None) -> Iterable[Row]:
    arriving = iter([piece for piece in pieces if piece])
    lines = Lines(lambda: next(arriving, b""))
    return read_rows(lines, None if columns is None else Columns.parse(columns), delimiter)
