"""The rows of a benchmark: clipqueue against a reference, measured alternately in one run."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """The range of an acceptable ratio: at least `least`, at most `most`."""

    least: float | None = None
    most: float | None = None

    def is_met(self, ratio: float) -> bool:
        """Return whether the ratio is in the range."""
        return (self.least is None or ratio >= self.least) and (self.most is None or ratio <= self.most)

    def __str__(self) -> str:
        return " ".join(
            f"{sign} {limit:g}" for sign, limit in (("≥", self.least), ("≤", self.most)) if limit is not None
        )


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: The measurement and its reference, such as "enqueue / LPUSH".
        unit: The unit of both figures.
        ours: The median of our rounds.
        reference: The median of the reference's rounds.
        ratio: Ours divided by the reference: the median of the ratios of each round.
        lowest: The lowest ratio of a round.
        highest: The highest ratio of a round.
        target: The range of an acceptable ratio.
    """

    what: str
    unit: str
    ours: float
    reference: float
    ratio: float
    lowest: float
    highest: float
    target: Target = Target()


def in_turn(rounds: int, ours: Callable[[], T], reference: Callable[[], T]) -> list[tuple[T, T]]:
    """Measure both in each round, and swap their order each time, so that a drift of the machine favours neither."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            theirs = reference()
            pairs.append((ours(), theirs))
        else:
            mine = ours()
            pairs.append((mine, reference()))
    return pairs


def row(what: str, unit: str, pairs: Sequence[tuple[float, float]], target: Target = Target()) -> Row:
    """Return the row for rounds of (ours, reference)."""
    ratios = [ours / reference for ours, reference in pairs]
    return Row(
        what,
        unit,
        statistics.median(ours for ours, _ in pairs),
        statistics.median(reference for _, reference in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        target,
    )


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| What | Ours | Reference | Unit | Ratio | Spread | Target |", "|---|---:|---:|---|---:|---|---|"]
    lines += [
        f"| {row.what} | {_figure(row.ours)} | {_figure(row.reference)} | {row.unit} | {_ratio(row.ratio)} "
        f"| {_ratio(row.lowest)} to {_ratio(row.highest)} | {_verdict(row)} |"
        for row in rows
    ]
    return "\n".join(lines)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _ratio(value: float) -> str:
    return f"{value:.4f}" if 0 < abs(value - 1) < 0.01 else f"{value:.2f}"


def _verdict(row: Row) -> str:
    target = str(row.target)
    return target and f"{target} {'met' if row.target.is_met(row.ratio) else 'missed'}"
