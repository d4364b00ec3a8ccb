"""`python -m worker.health`, the health check of a container."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.workers import start_fake_worker

if TYPE_CHECKING:
    from pathlib import Path

    from producer.local.stack import Stack


@pytest.fixture(scope="module")
def default_name_worker(own: Stack, own_dir: Path) -> None:
    """A worker with the node name that a worker has by default."""
    start_fake_worker(own, own_dir, "celery")


@pytest.mark.usefixtures("default_name_worker")
def test_the_worker_of_this_host_is_healthy(own: Stack) -> None:
    assert check_health(own.environment()).returncode == 0


def test_a_missing_worker_is_not_healthy(own: Stack) -> None:
    """Database 3, where no worker runs."""
    env = {**own.environment(), "REDIS_URL": own.redis_url.removesuffix("0") + "3"}
    done = check_health(env)
    assert done.returncode == 1
    assert f"celery@{socket.gethostname()} did not answer" in done.stderr


def test_a_redis_that_is_unavailable_is_named_without_its_password(own: Stack) -> None:
    done = check_health({**own.environment(), "REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"})
    assert done.returncode == 1
    assert "Redis is unavailable" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def check_health(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.health"]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60)
