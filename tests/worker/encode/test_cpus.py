"""How many processors there are: a container's share of a machine counts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from worker.encode.cpus import usable_cpus

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("max 100000", 8),
        ("9900000 100000", 8),
        ("what", 8),
    ],
)
def test_the_share_of_a_container_counts(tmp_path: Path, quota: str, count: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert usable_cpus(tmp_path / "cpu.max") == count


@pytest.mark.usefixtures("here")
def test_a_machine_without_shares_has_what_it_has(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "none") == 8
