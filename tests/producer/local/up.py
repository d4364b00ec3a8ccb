"""Runs `clipqueue up` in a process."""

from __future__ import annotations

import os
import re
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import redis

from producer.cli.model import SMALL_MODEL
from tests.support.commands import COMMAND, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

FAKE_MODEL = Path(__file__).parents[2] / "support" / "fake_model"
# `up` shows text in any case, and names the setting if it is set.
SHELL = {name: value for name, value in os.environ.items() if name != "CLIPQUEUE_LOG_FORMAT"}
ENV = {**SHELL, **SMALL_MODEL, "CLIPQUEUE_PRECISION": "fp32", "COLUMNS": "140"}
# For commands whose model is not the subject: their worker has the fake encoder.
FAKE_ENV = {**ENV, "PYTHONPATH": os.pathsep.join([str(FAKE_MODEL), ENV["PYTHONPATH"]])}
WITHOUT_MODEL = {key: value for key, value in ENV.items() if key not in SMALL_MODEL}


class Up:
    """A running `clipqueue up`: its process, the variables that it printed, and the other lines until then."""

    def __init__(self, process: subprocess.Popen[str], exports: dict[str, str], lines: list[str]) -> None:
        self.process = process
        self.exports = exports
        self.lines = lines

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.exports["REDIS_URL"])

    def ports(self) -> list[int]:
        return [int(port) for url in self.exports.values() for port in re.findall(r":(\d+)", url)]


@contextmanager
def run_up(*options: str, env: dict[str, str] = ENV) -> Iterator[Up]:
    """Start `clipqueue up` and wait until it is ready."""
    process = start([*COMMAND, "up", *options], env)
    assert process.stderr is not None
    assert process.stdout is not None
    try:
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("ready"):
                break
        else:
            pytest.fail("".join(lines))
        names = {"REDIS_URL", "MONGODB_URI"} | ({"CLIPQUEUE_COLLECTION"} & {*env})
        names |= set() if "--no-worker" in options else {"CLIPQUEUE_URL"}
        exports = dict(process.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in names)
        assert exports.keys() == names
        yield Up(process, exports, lines)
    finally:
        process.terminate()
        process.communicate(timeout=120)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def still_running(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those processes that have not ended."""
    return [process for process in processes if _is_running(process)]


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
