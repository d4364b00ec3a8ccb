"""What the check found: one line for each thing looked at, printed at once and again as a table at the end."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTHS = (7, 44)
_MAX_CHARS = 240


@dataclass(frozen=True)
class Row:
    """One line of the table. `ok` is None for what is only said."""

    image: str
    what: str
    shown: str
    ok: bool | None

    def __str__(self) -> str:
        shown = "; ".join(self.shown.splitlines())
        mark = {True: "ok  ", False: "FAIL", None: "    "}[self.ok]
        return f"{mark} {self.image:{_WIDTHS[0]}} {self.what:{_WIDTHS[1]}} {shown[:_MAX_CHARS]}"


class Report:
    """The rows so far."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._started = time.monotonic()

    @property
    def failures(self) -> int:
        return sum(row.ok is False for row in self._rows)

    def check(self, image: str, what: str, shown: object, ok: object) -> None:
        """Add a thing that must be right."""
        self._add(Row(image, what, str(shown), bool(ok)))

    def say(self, image: str, what: str, shown: object) -> None:
        """Add a figure, or a difference from a real deployment."""
        self._add(Row(image, what, str(shown), None))

    @contextmanager
    def part(self, image: str, what: str) -> Iterator[None]:
        """Turn an error of a block into a row, so that the parts after it are checked too."""
        try:
            yield
        except Exception as exc:  # noqa: BLE001  (what a container does wrong may show as any error)
            self.check(image, what, f"{type(exc).__name__}: {exc}", ok=False)

    def print_table(self) -> None:
        """Print all rows again, image by image."""
        order = {name: index for index, name in enumerate(dict.fromkeys(row.image for row in self._rows))}
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        _print("")
        for row in sorted(self._rows, key=lambda row: order[row.image]):
            _print(str(row))
        checked = sum(row.ok is not None for row in self._rows)
        _print(f"\n{checked} checks, {self.failures} failed, in {minutes} min {seconds} s")

    def _add(self, row: Row) -> None:
        self._rows.append(row)
        _print(str(row))


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
