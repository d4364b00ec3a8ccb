"""Runs the command `clipqueue` in this process, or in a process of its own where the process is the subject."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from click.testing import CliRunner

from producer.cli.main import cli
from producer.cli.model import SMALL_MODEL
from producer.local import tied
from producer.local.guardian import start_guarded

# A command after TIED gets SIGTERM when the thread that started it ends: it cannot outlive a test run that is killed.
TIED = [sys.executable, str(tied.__file__)]
COMMAND = [sys.executable, "-m", "producer"]
_CONNECTIONS = ("REDIS_URL", "MONGODB_URI", "MONGO_URL")
_TIMEOUT_S = 180


@dataclass(frozen=True)
class Completed:
    """The result of a command that ran in this process, as `subprocess.run` would return it."""

    returncode: int
    stdout: str
    stderr: str
    output: str = ""  # both, in the order in which a terminal shows them


def invoke(*arguments: str, stdin: str = "", **env: str) -> Completed:
    """Run `clipqueue` in this process; of the connection settings it has only those in `env`."""
    # The runner restores the variables that it is given; `clipqueue model` sets these two.
    model = {name: os.environ.get(name) for name in SMALL_MODEL}
    runner = CliRunner(env={**dict.fromkeys(_CONNECTIONS), **model, **env})
    content = stdin.encode("utf-8", "surrogateescape")
    result = runner.invoke(cli, arguments, input=content, prog_name="clipqueue", catch_exceptions=False)
    return Completed(result.exit_code, result.stdout, result.stderr, result.output)


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `clipqueue` in a process; of the connection settings it has only those in `env`."""
    bare = {key: value for key, value in os.environ.items() if key not in _CONNECTIONS}
    return complete([*COMMAND, *arguments], {**bare, **env})


def run_worker(**env: str) -> Completed:
    """Run a worker that cannot start, until it exits."""
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
    done = complete(command, {**os.environ, **env})
    return Completed(done.returncode, done.stdout, done.stderr, done.stdout + done.stderr)


def complete(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command until it exits, and return its output."""
    with start(command, env) as process:
        try:
            output, errors = process.communicate(timeout=_TIMEOUT_S)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    """Start a command with pipes for its output; it ends with this process."""
    return start_guarded(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="surrogateescape"
    )
