"""Processor time and memory of decoding processes, while they run and after their end."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psutil

from worker.telemetry import usage
from worker.telemetry.usage import ChildrenCpu, rss_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BURN = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\nsys.stdin.read()"


def test_the_time_of_a_child_is_counted_while_it_runs_and_once_when_it_has_ended() -> None:
    cpu = ChildrenCpu()
    child = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin
    assert child.stdout
    child.stdout.readline()
    running = cpu.seconds([child.pid])
    assert 0.25 < running < 3
    assert rss_bytes([child.pid]) > psutil.Process().memory_info().rss
    child.stdin.close()
    child.wait()
    child.stdout.close()
    assert running <= cpu.seconds([]) < running + 1
    assert cpu.seconds([child.pid]) == cpu.seconds([]), "a process id that is gone counts nothing"


def test_without_proc_only_ended_children_and_the_peak_of_this_process_are_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(usage, "_PROC", tmp_path)
    cpu = ChildrenCpu()
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        assert cpu.seconds([child.pid]) == 0
    assert cpu.seconds([]) > 0.25
    assert rss_bytes([]) > 1e6
