"""No process of the embedded stack outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from producer.cli.model import SMALL_MODEL
from producer.local import guardian, tied
from tests.support.commands import COMMAND
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

# Each is a program for `sh`, with the path of a file as $1; it prints a line once it is ready.
LOOP = "echo ready; while :; do sleep 0.05; done"
LEAVES_TRACE = f'trap "echo stopped > $1; exit" TERM; {LOOP}'
IGNORES_SIGTERM = f'trap "" TERM; {LOOP}'

ENV = {**os.environ, **SMALL_MODEL, "CLIPQUEUE_PRECISION": "fp32"}

START_CHILD = """
import sys
from producer.local.guardian import start_guarded

child = start_guarded(["sh", "-c", *sys.argv[1:]], stdout=-1)
child.stdout.readline()
print(child.pid, flush=True)
"""
DIE = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
FREEZE_AND_DIE = "import os, signal; os.kill(child.pid, signal.SIGSTOP); os.kill(os.getpid(), signal.SIGKILL)"


def pids_with(text: str) -> list[int]:
    """Return the processes whose command line contains `text`."""
    found = psutil.process_iter(["pid", "cmdline"])
    return [one.pid for one in found if text in " ".join(one.info["cmdline"] or ())]


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize(
    ("script", "end", "is_told"),
    [(LEAVES_TRACE, DIE, True), (LEAVES_TRACE, FREEZE_AND_DIE, True), (IGNORES_SIGTERM, DIE, False)],
    ids=["handles-sigterm", "frozen", "ignores-sigterm"],
)
def test_a_child_of_a_killed_process_is_stopped(script: str, end: str, *, is_told: bool, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = [sys.executable, "-c", START_CHILD + end, script, "sh", str(trace)]
    parent = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    child = int(parent.stdout)
    wait_for(lambda: not psutil.pid_exists(child), "the child to end", guardian.GRACE_S + 20)
    wait_for(lambda: not pids_with(str(trace)), "its process group to end")
    assert trace.exists() == is_told


def test_a_normal_exit_waits_until_forgotten_children_have_ended(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = [sys.executable, "-c", START_CHILD, LEAVES_TRACE, "sh", str(trace)]
    parent = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert not psutil.pid_exists(int(parent.stdout))
    assert trace.read_text() == "stopped\n"


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(("command", "line"), [("up", "ready"), ("demo", "Enqueued")])
def test_no_process_outlives_a_killed_command(command: str, line: str, by: signal.Signals) -> None:
    """Neither servers, the worker, its decoders, nor the guardian."""
    with subprocess.Popen(
        [*COMMAND, command], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        output = next((shown for shown in process.stdout if shown.startswith(line)), None)
        processes = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(by)
    assert output, "the command ended before it was ready"
    assert len(processes) >= len(["redis", "mongo", "worker", "guardian"])
    wait_for(lambda: not still_running(processes), f"{still_running(processes)} to end")


def test_a_command_of_make_ends_when_make_is_killed() -> None:
    command = [sys.executable, str(tied.__file__), *COMMAND, "up", "--no-worker"]
    # The shell stands for make: it starts the command, and waits for it.
    with subprocess.Popen(
        ["/bin/sh", "-c", '"$@"; true', "sh", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as shell:
        assert shell.stdout is not None
        assert next((line for line in shell.stdout if line.startswith("ready")), None)
        processes = psutil.Process(shell.pid).children(recursive=True)
        shell.kill()
    assert len(processes) >= len(["up", "redis", "mongo", "guardian"])
    wait_for(lambda: not still_running(processes), f"{still_running(processes)} to end")
