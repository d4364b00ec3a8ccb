"""No process of the embedded stack outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from producer.local import guardian, tied
from tests.producer.local.up import ENV, run_up, still_running
from tests.support.commands import COMMAND
from tests.support.descriptors import FD_SETSIZE, many_open_descriptors
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

# Each is a program for `sh`, with the path of a file as $1; it prints a line once it is ready.
LOOP = "echo ready; while :; do sleep 0.05; done"
LEAVES_TRACE = f'trap "echo stopped > $1; exit" TERM; {LOOP}'
IGNORES_SIGTERM = f'trap "" TERM; {LOOP}'

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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has pidfds")
def test_a_process_can_be_watched_beside_many_open_descriptors() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child, many_open_descriptors():
        group = guardian._Group(child.pid)
        assert (group._pidfd or 0) >= FD_SETSIZE
        assert group.is_running()
        assert child.stdin is not None
        child.stdin.write(b"\n")
        child.stdin.close()
        assert not group.is_running(timeout_s=20)
        group.close()


@pytest.mark.chaos
def test_no_process_outlives_a_killed_up() -> None:
    """The servers, the worker, its decoders and the guardian end."""
    with run_up() as up:
        processes = psutil.Process(up.process.pid).children(recursive=True)
        up.process.kill()
        wait_for(lambda: not still_running(processes), f"{still_running(processes)} to end")
    assert len(processes) >= len(["redis", "mongo", "worker", "decoder", "guardian"])


def test_no_process_outlives_an_up_whose_whole_group_is_killed() -> None:
    """So does a shell's `kill -9 %1`: the servers and the guardian have sessions of their own."""
    with run_up("--no-worker") as up:
        processes = psutil.Process(up.process.pid).children(recursive=True)
        os.killpg(up.process.pid, signal.SIGKILL)
        wait_for(lambda: not still_running(processes), f"{still_running(processes)} to end")
    assert len(processes) >= len(["redis", "mongo", "guardian"])


def test_an_up_whose_guardian_is_killed_stops_and_says_so() -> None:
    """Else a kill of `up` would leave the servers behind from then on."""
    with run_up("--no-worker") as up:
        processes = psutil.Process(up.process.pid).children(recursive=True)
        guardians = [process for process in processes if guardian.__file__ in process.cmdline()]
        guardians[0].kill()
        _, errors = up.process.communicate(timeout=120)
    assert len(guardians) == 1
    assert up.process.returncode == 1
    assert "the process that stops the others if this one is killed has ended" in errors
    assert not still_running(processes)


def test_no_process_outlives_the_terminal_of_an_up() -> None:
    """The kernel sends SIGHUP, and what `up` prints then cannot be written."""
    terminal = "import pty, sys; pty.spawn(sys.argv[1:])"
    command = [sys.executable, "-c", terminal, *COMMAND, "up", "--no-worker"]
    with guardian.start_guarded(command, env=ENV, stdout=subprocess.PIPE, text=True) as window:
        assert window.stdout is not None
        assert next((line for line in window.stdout if line.startswith("ready")), None)
        processes = psutil.Process(window.pid).children(recursive=True)
        window.kill()
    assert len(processes) >= len(["up", "redis", "mongo", "guardian"])
    wait_for(lambda: not still_running(processes), f"{still_running(processes)} to end")


@pytest.mark.parametrize(("command", "by"), [("demo", signal.SIGKILL), ("up", signal.SIGTERM)])
def test_no_process_outlives_a_stack_that_is_stopped_while_it_starts(command: str, by: signal.Signals) -> None:
    with guardian.start_guarded(
        [*COMMAND, command], env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as stack:

        def children() -> list[psutil.Process]:
            found = psutil.Process(stack.pid).children(recursive=True)
            return found if {process.pid for process in found} & set(pids_with("worker.app")) else []

        processes = wait_for(children, "the worker to be started")
        stack.send_signal(by)
    assert len(processes) >= len(["redis", "mongo", "worker", "guardian"])
    wait_for(lambda: not still_running(processes), f"{still_running(processes)} to end")


def test_a_command_of_make_ends_when_make_is_killed() -> None:
    command = [sys.executable, str(tied.__file__), *COMMAND, "up", "--no-worker"]
    # The shell stands for make: it starts the command, and waits for it.
    with guardian.start_guarded(
        ["/bin/sh", "-c", '"$@"; true', "sh", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as shell:
        assert shell.stdout is not None
        assert next((line for line in shell.stdout if line.startswith("ready")), None)
        processes = psutil.Process(shell.pid).children(recursive=True)
        shell.kill()
    assert len(processes) >= len(["up", "redis", "mongo", "guardian"])
    wait_for(lambda: not still_running(processes), f"{still_running(processes)} to end")
