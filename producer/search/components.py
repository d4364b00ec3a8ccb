"""Which rows belong together, as pairs of similar rows are found. A row alone takes no memory here but its label."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Rows = NDArray[np.intp]


class Components:
    """The connected components of the rows 0 to `count` - 1.

    A row is open until it has been compared with all others. A component of which no row is open cannot grow any more.
    """

    def __init__(self, count: int) -> None:
        self.is_open = np.ones(count, np.bool_)
        self._labels = np.arange(count)
        self._members: dict[int, list[int]] = {}
        self._open: dict[int, int] = {}
        self._queue: deque[int] = deque()
        self._is_taken = np.zeros(count, np.bool_)

    def connect(self, first: Rows, second: Rows) -> None:
        """Put the rows `first[i]` and `second[i]` into one component, for each i."""
        labels = self._labels[first], self._labels[second]
        differ = labels[0] != labels[1]
        pairs = np.unique(labels[0][differ] * len(self._labels) + labels[1][differ])
        for one, other in zip(*np.divmod(pairs, len(self._labels)), strict=True):
            self._join(int(self._labels[one]), int(self._labels[other]))
        new = np.unique(np.concatenate([first, second]))
        self._queue.extend(new[self.is_open[new] & ~self._is_taken[new]].tolist())
        self._is_taken[new] = True

    def take_queued(self, most: int) -> list[int]:
        """Take rows that are in a component with others, and return them."""
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def take(self, row: int) -> bool:
        """Return whether a row is open and was not taken before, and take it."""
        is_new = bool(self.is_open[row] and not self._is_taken[row])
        self._is_taken[row] = True
        return is_new

    def close(self, rows: Iterable[int]) -> list[list[int]]:
        """Note that these rows have been compared with all others; return the components that are complete now."""
        complete = []
        for row in rows:
            self.is_open[row] = False
            label = int(self._labels[row])
            if label in self._open:
                self._open[label] -= 1
                if not self._open[label]:
                    complete.append(self._members.pop(label))
                    del self._open[label]
        return complete

    def _join(self, one: int, other: int) -> None:
        if one == other:
            return
        large, small = self._take(one), self._take(other)
        if len(large[0]) < len(small[0]):
            large, small, one = small, large, other
        large[0].extend(small[0])
        self._labels[small[0]] = one
        self._members[one], self._open[one] = large[0], large[1] + small[1]

    def _take(self, label: int) -> tuple[list[int], int]:
        """Return the rows of a component and the number of open ones; forget it, as it gets another label."""
        members = self._members.pop(label, None)
        if members is None:  # a row alone has its own number as its label
            return [label], int(self.is_open[label])
        return members, self._open.pop(label)
