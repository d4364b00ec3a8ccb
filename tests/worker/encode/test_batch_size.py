"""A batch size that was halved for lack of memory grows back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.encode.batch_size import _FULL_BATCHES, _MAX_FULL_BATCHES, BatchSize

if TYPE_CHECKING:
    import pytest


def succeed(size: BatchSize, times: int) -> None:
    for _ in range(times):
        size.note_success(size.current)


def test_it_halves_and_doubles_again_after_enough_full_batches(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    size = BatchSize(24)
    assert (size.shrink(24), size.shrink(12), size.current) == (12, 6, 6)
    succeed(size, _FULL_BATCHES - 1)
    assert size.current == 6
    succeed(size, 1)
    assert size.current == 12
    succeed(size, _FULL_BATCHES)
    assert size.current == 24
    succeed(size, 10 * _FULL_BATCHES)
    assert size.current == 24, "never more than the maximum"
    assert "the maximum is now 6" in caplog.text
    assert "the maximum is now 24" in caplog.text


def test_only_full_batches_count() -> None:
    """Smaller ones do not show that a larger one would fit."""
    size = BatchSize(8)
    size.shrink(8)
    for _ in range(10 * _FULL_BATCHES):
        size.note_success(3)
    assert size.current == 4


def test_growing_too_early_makes_the_next_attempt_later_up_to_a_limit() -> None:
    size, needed = BatchSize(8), _FULL_BATCHES
    size.shrink(8)
    for _ in range(12):
        succeed(size, needed - 1)
        assert size.current == 4
        succeed(size, 1)
        assert size.current == 8
        size.shrink(8)
        needed = min(2 * needed, _MAX_FULL_BATCHES)
    assert needed == _MAX_FULL_BATCHES


def test_batches_that_fail_at_the_same_time_halve_it_once() -> None:
    size = BatchSize(8)
    assert [size.shrink(8), size.shrink(8)] == [4, 4]
    assert size.current == 4
    assert (size.shrink(1), size.current) == (0, 4), "a single image cannot be halved"
