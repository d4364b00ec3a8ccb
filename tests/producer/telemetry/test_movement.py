"""Whether a loop still moves."""

from __future__ import annotations

from producer.telemetry.movement import Movement
from tests.support.clocks import Clock


def test_a_loop_that_moves_in_time_is_live() -> None:
    clock = Clock()
    movement = Movement("the loop", clock=clock)
    clock.now_s += 1e6
    assert movement.live() == "", "it has not begun"
    movement.expect(300)
    clock.now_s += 300
    assert movement.live() == ""
    movement.expect(10)
    clock.now_s += 10
    assert movement.live() == ""
    clock.now_s += 1
    assert movement.live() == "the loop has not moved for 11 s, and had to within 10 s"
    assert movement.ready() == movement.live()
    movement.expect(10)
    assert (movement.live(), movement.ready()) == ("", "")


def test_a_loop_is_ready_if_its_last_step_succeeded() -> None:
    movement = Movement("the loop", "it has just begun")
    assert (movement.live(), movement.ready()) == ("", "it has just begun")
    movement.succeeded()
    assert movement.ready() == ""
    movement.failed("Redis is\naway")
    assert (movement.live(), movement.ready()) == ("", "Redis is\N{REPLACEMENT CHARACTER}away")
