"""Starts Flower as the Procfile does, and asks its API and its pages."""

from __future__ import annotations

import base64
import json
import shlex
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ephemeral_port_reserve import reserve

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess

    from producer.local.stack import Stack

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "operator", "made-up"
_TIMEOUT_S = 20


@dataclass(frozen=True)
class Flower:
    """A running Flower and its address."""

    process: subprocess.Popen[bytes]
    url: str

    def get(self, path: str, **query: object) -> bytes:
        """Return what a page answers to who has the password. Raises HTTPError for another status than 200."""
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        address = f"{self.url}{path}?{urlencode(query)}"
        request = urllib.request.Request(address, headers={"Authorization": f"Basic {login}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content

    def tasks(self, search: str = "") -> dict[str, dict[str, Any]]:
        """Return what the API tells of each task by its id."""
        found: dict[str, dict[str, Any]] = json.loads(self.get("/api/tasks", search=search, limit=1000))
        return found

    def listed(self, search: str) -> list[dict[str, Any]]:
        """Return the rows of the page of tasks."""
        query = {"draw": 1, "start": 0, "length": 100, "search[value]": search, "order[0][column]": 0}
        page = json.loads(self.get("/tasks/datatable", **query))
        assert "searchError" not in page, page
        rows: list[dict[str, Any]] = page["data"]
        return rows

    def states(self) -> dict[str, str]:
        """Return the state of each task by its id."""
        return {task_id: task["state"] for task_id, task in self.tasks().items()}

    def total_of(self, worker: str) -> int:
        """Return how many jobs a worker has run, as it tells when Flower asks; 0 if it does not answer in a second."""
        told = json.loads(self.get("/api/workers", refresh=1, workername=worker))
        total: dict[str, int] = told.get(worker, {}).get("stats", {}).get("total", {})
        return sum(total.values())

    def is_online(self) -> dict[str, bool]:
        """Return for each worker that the page of workers has whether it is online."""
        rows = json.loads(self.get("/workers", json=1))["data"]
        return {row["hostname"]: row["status"] for row in rows}


def flower_command(*options: str) -> list[str]:
    """Return the Procfile's command with more options."""
    (line,) = [line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith("flower: ")]
    program, *arguments = shlex.split(line.removeprefix("flower: "))
    config = [one.replace("worker/", f"{ROOT}/worker/") for one in arguments]
    return [sys.executable, "-m", program, *config, *options]


def start_flower(stack: Stack, file: Path, name: str = "flower") -> Flower:
    """Start Flower as a part of a stack, with this file for its tasks, and wait until it answers."""
    port = reserve()
    env = {"FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD}", "FLOWER_ADDRESS": "127.0.0.1", "FLOWER_DB": str(file)}
    command = flower_command(f"--port={port}")
    flower = Flower(stack.start(name, command, env={**stack.environment(), **env}), f"http://127.0.0.1:{port}")
    wait_for(lambda: _answers(flower), f"Flower to answer: see {stack.log(name)}")
    return flower


def _answers(flower: Flower) -> bool:
    assert flower.process.poll() is None, "Flower has ended"
    try:
        return bool(flower.get("/healthcheck"))
    except OSError:
        return False
