"""What stands still is counted in ticks, from when it stands still, part by part."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.support.waiting import wait_for
from worker.lifecycle.stillness import Part, Problem, Stillness

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    import pytest


def tick(stillness: Stillness, times: int) -> Problem | None:
    """Tick some times; return the last answer."""
    return [stillness.tick() for _ in range(times)][-1]


def test_a_part_that_stands_still_is_a_problem_and_then_the_end() -> None:
    stillness = Stillness([Part("it has not turned", lambda: [7], red_s=4, end_s=6)], tick_s=1.0)
    assert tick(stillness, 4) is None
    assert tick(stillness, 1) == Problem("it has not turned for 4 s", is_final=False)
    assert tick(stillness, 2) == Problem("it has not turned for 6 s", is_final=True)


def test_a_part_that_moves_or_has_nothing_to_do_counts_from_zero_again() -> None:
    standing: list[Hashable] = [1]
    stillness = Stillness([Part("it has not turned", lambda: standing, red_s=4, end_s=6)], tick_s=1.0)
    for entries in ([1], [2], [], [2], [3]):
        standing[:] = entries
        assert tick(stillness, 4) is None
    assert tick(stillness, 1)


def test_the_oldest_of_several_calls_counts() -> None:
    calls: list[Hashable] = []
    stillness = Stillness([Part("a call has run", lambda: calls, red_s=4, end_s=9)], tick_s=1.0)
    for number in range(5):
        calls.append(number)
        problem = stillness.tick()
    assert problem == Problem("a call has run for 4 s", is_final=False)
    calls.remove(0)
    assert stillness.tick() == Problem("a call has run for 4 s", is_final=False)
    calls.clear()
    assert stillness.tick() is None


def test_the_first_part_is_named_unless_another_ends_the_process() -> None:
    parts = [Part("first", lambda: [1], 1, 9), Part("second", lambda: [1], 1, 3, advice="buy memory")]
    stillness = Stillness(parts, tick_s=1.0)
    assert tick(stillness, 2) == Problem("first for 1 s", is_final=False)
    assert tick(stillness, 2) == Problem("second for 3 s", is_final=True, advice="buy memory")


def test_a_part_with_an_error_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Iterable[Hashable]:
        raise RuntimeError

    stillness = Stillness([Part("first", fail, 0, 0), Part("second", lambda: [1], 0, 9)], tick_s=1.0)
    assert stillness.tick() == Problem("second", is_final=False)
    assert "unexpected error in the watchdog" in caplog.text


def test_a_part_is_asked_to_move_before_it_is_a_problem() -> None:
    """One question at a time, however long the answer takes."""
    gate, asked = threading.Event(), []

    def prod() -> None:
        asked.append(1)
        gate.wait()

    stillness = Stillness([Part("it", lambda: [1], red_s=4, end_s=9, prod=prod)], tick_s=1.0)
    assert tick(stillness, 2) is None
    assert not asked
    tick(stillness, 3)
    wait_for(lambda: asked == [1], "the part to be asked once")
    gate.set()
    wait_for(lambda: stillness.tick() and len(asked) > 1, "the part to be asked again")
