"""A test run that is killed leaves no process behind."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from producer.local.guardian import start_guarded
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[1]
TEST_FILE = """
import pathlib, time

def test_that_waits(worker_log):
    pathlib.Path({flag!r}).touch()
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.chaos)])
def test_a_killed_test_run_leaves_no_process_behind(number: signal.Signals, tmp_path: Path) -> None:
    """The run has a process for tests, which has started Redis, MongoDB and a worker with decoding processes."""
    flag = tmp_path / "is-waiting"
    file = tmp_path / "test_file.py"
    file.write_text(TEST_FILE.format(flag=str(flag)))
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-n", "1"]
    with (tmp_path / "output").open("wb") as output:
        run = start_guarded(
            [*command, f"--basetemp={tmp_path / 'base'}", str(file)], cwd=ROOT, stdout=output, stderr=output
        )
    wait_for(flag.exists, "the test in the run to wait", 180)
    processes = psutil.Process(run.pid).children(recursive=True)
    assert len(processes) >= len(["process for tests", "guardian", "redis", "mongo", "worker", "decoder"])
    run.send_signal(number)
    run.wait(60)
    wait_for(lambda: not any(_is_running(one) for one in processes), f"{processes} to end")


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
