"""The number of usable CPU cores respects a container's CPU limit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from worker.encode.cpus import usable_cpus

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.usefixtures("eight_cores")
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
def test_a_containers_cpu_limit_is_respected(tmp_path: Path, quota: str, count: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert usable_cpus(tmp_path / "cpu.max") == count


@pytest.mark.usefixtures("eight_cores")
def test_without_a_cgroup_limit_all_cores_count(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "none") == 8
