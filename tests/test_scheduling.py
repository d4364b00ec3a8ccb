"""The order of the test files names files that exist."""

from __future__ import annotations

from pathlib import Path

from tests.support.scheduling import SLOW

ROOT = Path(__file__).parents[1]


def test_every_slow_file_exists_and_is_named_once() -> None:
    """A file that was renamed would come last again."""
    assert [name for name in SLOW if not (ROOT / name).exists()] == []
    assert len(set(SLOW)) == len(SLOW)
