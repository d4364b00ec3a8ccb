"""The rows of the benchmarks' table."""

from __future__ import annotations

import pytest

from tests.bench.rows import Row, Target, in_turn, row, table


def test_the_ratio_is_the_median_of_the_ratios_of_all_rounds() -> None:
    """It is not the ratio of the medians: each round compares two measurements that ran one after the other."""
    found = row("a / b", "jobs/s", [(10.0, 5.0), (30.0, 10.0), (8.0, 8.0)])
    assert (found.ours, found.reference, found.ratio) == (10.0, 8.0, 2.0)
    assert (found.lowest, found.highest) == (1.0, 3.0)


def test_the_two_measurements_take_turns_in_starting_a_round() -> None:
    order: list[str] = []

    def measured(name: str) -> int:
        order.append(name)
        return len(order)

    assert in_turn(3, lambda: measured("ours"), lambda: measured("theirs")) == [(1, 2), (4, 3), (5, 6)]
    assert order == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]


@pytest.mark.parametrize(
    ("target", "ratio", "shown"),
    [
        (Target(least=0.8), 0.8, "≥ 0.8 met"),
        (Target(least=0.8), 0.79, "≥ 0.8 missed"),
        (Target(most=1.5), 1.5, "≤ 1.5 met"),
        (Target(most=1.5), 1.51, "≤ 1.5 missed"),
        (Target(), 7.0, ""),
    ],
)
def test_the_table_shows_whether_the_target_is_met(target: Target, ratio: float, shown: str) -> None:
    line = table([Row("a / b", "s", 1234.5, 0.5678, ratio, 0.999, 12.0, target)]).splitlines()[-1]
    assert line == f"| a / b | 1,234 | 0.568 | s | {ratio:.2f} | 0.9990 to 12.00 | {shown} |"
