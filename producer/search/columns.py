"""Keeps the filter fields of many images compactly, and says which images match a filter.

Each distinct value of a field is kept once and has a code. An image has one code for each field, so a comparison is
made once for each distinct value.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from producer.search.filters import Clause
from producer.search.values import cell_of, matcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from producer.search.filters import Filter
    from producer.search.values import Cell

Mask = NDArray[np.bool_]
Codes = NDArray[np.int32]
# The results of so many comparisons are kept, at one byte for each distinct value.
_KEPT = 32


class Columns:
    """The distinct values of each field. Only one thread may call `encode` at a time; others may read meanwhile."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)
        self._cells: list[list[Cell]] = [[] for _ in fields]
        self._codes: list[dict[Cell, int]] = [{} for _ in fields]
        self._results: OrderedDict[Clause, Mask] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, document: Mapping[str, Any]) -> list[int]:
        """Return the document's code for each field."""
        return [self._encode(number, cell_of(document, field)) for number, field in enumerate(self.fields)]

    def mask(self, wanted: Filter, codes: Codes) -> Mask:
        """Return which rows match a filter.

        Args:
            wanted: The filter.
            codes: The codes, of shape (rows, fields).
        """
        if isinstance(wanted, Clause):
            number = self.fields.index(wanted.path)
            return self._result(wanted, number)[codes[:, number]]
        masks = [self.mask(member, codes) for member in wanted.members]
        if wanted.operator == "$and":
            all_of: Mask = np.logical_and.reduce([np.ones(len(codes), np.bool_), *masks])
            return all_of
        any_of: Mask = np.logical_or.reduce(masks)
        return ~any_of if wanted.operator == "$nor" else any_of

    def distinct(self) -> int:
        """Return the number of distinct values of the field that has most of them."""
        return max(map(len, self._cells), default=0)

    def without_unused(self, codes: Sequence[Codes]) -> tuple[Columns, list[Codes]]:
        """Return columns with only the values that these codes name, and the codes in the new columns."""
        kept = Columns(self.fields)
        translated = [np.zeros_like(one) for one in codes]
        for number, cells in enumerate(self._cells):
            used = np.unique(np.concatenate([one[:, number] for one in codes]))
            kept._cells[number] = [cells[code] for code in used]
            kept._codes[number] = {cell: code for code, cell in enumerate(kept._cells[number])}
            for one, new in zip(codes, translated, strict=True):
                new[:, number] = np.searchsorted(used, one[:, number])
        return kept, translated

    def _encode(self, number: int, cell: Cell) -> int:
        code = self._codes[number].get(cell)
        if code is None:
            code = len(self._cells[number])
            self._cells[number].append(cell)  # before the code is given out, so that readers find it
            self._codes[number][cell] = code
        return code

    def _result(self, clause: Clause, number: int) -> Mask:
        """Return the clause's result for each code. Values that came since the last call are compared now."""
        with self._lock:
            known = self._results.get(clause, np.zeros(0, np.bool_))
            new = self._cells[number][len(known) :]
            if new:
                added = np.fromiter(map(matcher(clause.operator, clause.values), new), np.bool_, len(new))
                known = np.concatenate([known, added])
            self._results[clause] = known
            self._results.move_to_end(clause)
            if len(self._results) > _KEPT:
                self._results.popitem(last=False)
            return known
