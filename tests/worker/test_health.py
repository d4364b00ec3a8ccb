"""`python -m worker.health`, the health check of a container, beside real workers. It never asks Redis."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import run_worker
from tests.support.fake_encoder import BLOCKED_BY
from tests.support.waiting import wait_for
from tests.support.workers import FAKE_MODEL, worker_command
from worker import health
from worker.health import SILENT_S
from worker.lifecycle.pulse import Pulse

if TYPE_CHECKING:
    from producer.local.stack import Stack

HANGING_APP = "tests.support.hanging_app"  # its main thread hangs on SIGUSR1


def check_health(env: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the health check without Redis."""
    env = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1/0", **env}
    command = [sys.executable, *options, "-m", "worker.health"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)


def complaint(env: dict[str, str]) -> str:
    """Return the line that the health check prints; empty if all is well."""
    done = check_health(env)
    assert done.returncode == (1 if done.stderr else 0)
    assert done.stderr.count("\n") == done.returncode, "one line"
    return done.stderr.strip()


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A temporary folder of its own, and a fake encoder that is blocked by the file `block`."""
    return {"TMPDIR": str(tmp_path), BLOCKED_BY: str(tmp_path / "block"), **FAKE_MODEL}


def test_a_worker_is_healthy_from_when_it_has_loaded_its_model_until_it_ends(
    own: Stack, tmp_path: Path, env: dict[str, str]
) -> None:
    assert complaint(env) == (
        "no worker of this user runs on this host: no living process holds "
        f"{tmp_path / f'clipqueue-{os.getuid()}' / '*.health'}"
    )
    (tmp_path / "block").touch()
    worker = own.start("unnamed", worker_command(""), env={**own.environment(), **env})
    wait_for(lambda: "has not loaded its model yet" in complaint(env), "the worker to load its model")
    assert re.fullmatch(r"clipqueue-[0-9a-f]{8}@\S+ has not loaded its model yet", complaint(env))
    (tmp_path / "block").unlink()
    wait_for(lambda: not complaint(env), "the worker to be healthy")
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert complaint(env).startswith("no worker of this user runs on this host")


def test_a_worker_with_a_file_of_its_own_is_checked_alone(own: Stack, tmp_path: Path, env: dict[str, str]) -> None:
    """CLIPQUEUE_HEALTH_FILE. The other worker, which is frozen, has its file in the temporary folder."""
    alone = {**env, "CLIPQUEUE_HEALTH_FILE": str(tmp_path / "alone")}
    worker = own.start("alone", worker_command("alone"), env={**own.environment(), **alone})
    wait_for(lambda: not complaint(alone), "the worker to be healthy")
    assert complaint(env).startswith("no worker of this user runs on this host")
    second = run_worker(**own.environment(), **alone)
    assert second.returncode == 1
    assert f"another worker on this host has CLIPQUEUE_HEALTH_FILE={tmp_path / 'alone'}" in second.output
    assert "Traceback" not in second.output
    own.stop_one(worker)
    assert complaint(alone).endswith(f"no living process holds {tmp_path / 'alone'}")
    assert not list(tmp_path.glob("alone*")), "the worker has removed its file"


def test_a_worker_names_a_health_file_that_it_cannot_write(own: Stack, tmp_path: Path) -> None:
    done = run_worker(**own.environment(), **FAKE_MODEL, CLIPQUEUE_HEALTH_FILE=str(tmp_path / "none" / "file"))
    assert done.returncode == 1
    assert "the health file cannot be written: " in done.output
    assert "set CLIPQUEUE_HEALTH_FILE to a path in a folder" in done.output
    assert "Traceback" not in done.output


def test_the_check_needs_no_package_and_imports_almost_nothing(tmp_path: Path) -> None:
    """A container runs a copy of it every few seconds, beside a model that needs the cores."""
    copy = tmp_path / "health.py"
    copy.write_bytes(Path(health.__file__).read_bytes())
    command = [sys.executable, "-I", "-S", "-X", "importtime", "health.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no worker of this user runs on this host" in done.stderr
    imported = re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.MULTILINE)
    assert "fcntl" in imported
    assert not set(imported) & {"worker", "site", "re", "json", "typing", "pathlib", "tempfile", "worker.errors"}
    assert len(imported) < 40, "an empty program imports about 30 modules"


@pytest.mark.chaos
def test_of_several_workers_on_a_host_a_frozen_and_a_hanging_one_are_named(
    own: Stack, own_dir: Path, env: dict[str, str]
) -> None:
    workers = {
        name: own.start(name, worker_command(name, app=HANGING_APP), env={**own.environment(), **env})
        for name in ("moving", "frozen", "hanging")
    }
    wait_for(lambda: " ready." in (own_dir / "hanging.log").read_text(), "the worker to listen for the signal")
    wait_for(lambda: not complaint(env), "all workers to be healthy")
    workers["hanging"].send_signal(signal.SIGUSR1)
    wait_for(lambda: "hanging@" in complaint(env), "the hanging worker to be named", 150)
    assert "Celery's event loop hangs" in complaint(env)
    workers["hanging"].kill()
    workers["frozen"].send_signal(signal.SIGSTOP)
    wait_for(lambda: "frozen@" in complaint(env), "the frozen worker to be named", SILENT_S + 60)
    assert "moving@" not in complaint(env)
    workers["frozen"].send_signal(signal.SIGCONT)
    wait_for(lambda: not complaint(env), "both workers to be healthy again")


def test_the_command_reads_the_files_of_living_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    env = {"TMPDIR": str(tmp_path)}
    pulses = [Pulse(f"{name}@host") for name in ("first", "second")]
    pulses[0].beat()
    assert complaint(env) == "second@host has not loaded its model yet"
    pulses[1].beat()
    assert complaint(env) == ""
    pulses[1].beat("it is out of luck")
    assert complaint(env) == "second@host: it is out of luck"
    for pulse in pulses:
        pulse.close()
    assert complaint(env).startswith("no worker of this user runs on this host")
