"""Starts workers with the fake encoder, for tests whose subject is not the model."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from producer.local.stack import Stack

FAKE_ENCODER_APP = "tests.support.fake_encoder_app"
FAKE_MODEL = {"CLIP_MODEL": "fake/model"}
FAST_RETRIES = {"CLIPQUEUE_MAX_RETRIES": "2", "CLIPQUEUE_RETRY_BASE_S": "0.1", "CLIPQUEUE_RETRY_CAP_S": "0.2"}
EVERY_LINE = {"CLIPQUEUE_LOG_JOBS": "all"}  # tests wait for the line of a job, or count lines
# The messages of a killed worker are redelivered after 12 s, which all stages together must fit into.
QUICK_REDELIVERY = {
    "CLIPQUEUE_FETCH_TOTAL_S": "2",
    "CLIPQUEUE_DECODE_S": "2",
    "CLIPQUEUE_ENCODE_S": "2",
    "CLIPQUEUE_STORE_S": "0.8",
    "CLIPQUEUE_VISIBILITY_TIMEOUT_S": "12",
    "CLIPQUEUE_RESTORE_INTERVAL_S": "1",
}


@dataclass(frozen=True)
class FakeWorker:
    """A worker process with the fake encoder, and its log file."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")


def worker_command(name: str, *options: str, app: str = FAKE_ENCODER_APP) -> list[str]:
    """Return the command line of a worker with this node name, or with the one it gives itself if `name` is empty."""
    node = ["-n", f"{name}@{socket.gethostname()}"] if name else []
    return [sys.executable, "-m", "celery", "-A", app, "worker", *node, *options]


def start_fake_worker(
    stack: Stack,
    folder: Path,
    name: str,
    env: Mapping[str, str] | None = None,
    options: tuple[str, ...] = (),
    app: str = FAKE_ENCODER_APP,
) -> FakeWorker:
    """Start a worker as a part of the stack, and wait until it consumes.

    Args:
        stack: The servers; the worker ends with them.
        folder: The data folder of the stack.
        name: The node name, and the name of the log file.
        env: Settings besides those of the stack.
        options: Options for Celery's command line.
        app: The module of the Celery application.
    """
    environment = {**stack.environment(), **FAKE_MODEL, **FAST_RETRIES, **EVERY_LINE, **(env or {})}
    process = stack.start(name, worker_command(name, *options, app=app), env=environment)
    worker = FakeWorker(process, folder / f"{name}.log")
    wait_for(lambda: _is_ready(worker), f"{name} to be ready")
    return worker


def _is_ready(worker: FakeWorker) -> bool:
    assert worker.process.poll() is None, f"the worker ended:\n{worker.log[-3000:]}"
    return " ready." in worker.log
