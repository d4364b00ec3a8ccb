"""The command line as a user runs it, in its own process."""

from __future__ import annotations

import os
import subprocess
import sys

from producer.local import tied

# A command after TIED gets SIGTERM when the thread that started it ends: it cannot outlive a test run that is killed.
TIED = [sys.executable, str(tied.__file__)]
COMMAND = [*TIED, sys.executable, "-m", "producer"]


def run(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run `clipqueue` without the URLs in this process's environment; `env` adds variables."""
    bare = {key: value for key, value in os.environ.items() if key not in ("REDIS_URL", "MONGODB_URI", "MONGO_URL")}
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        env={**bare, **env},
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
        timeout=180,
    )


def run_worker(**env: str) -> subprocess.CompletedProcess[str]:
    """Run a worker whose start fails, until it exits."""
    return subprocess.run(
        [*TIED, sys.executable, "-m", "celery", "-A", "worker.app", "worker"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
