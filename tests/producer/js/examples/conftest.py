"""The examples, beside the packed package that they import."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.js_package import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable

    SendRequests = Callable[..., "Answers"]

_PROGRAM = Path(__file__).parents[3] / "support" / "node" / "requests.mjs"
_RUN_S = 60


@dataclass(frozen=True)
class Answers:
    """What a module answered to each request, and what it logged."""

    answers: list[dict[str, Any]]
    log: str


@pytest.fixture(scope="session")
def examples(js_app: Path) -> Path:
    """A copy of the examples whose imports lead to the packed package."""
    shutil.copy(_PROGRAM, js_app)
    return shutil.copytree(SOURCE / "examples", js_app / "examples")


@pytest.fixture(scope="session")
def send_requests(examples: Path) -> SendRequests:
    """A function that sends requests `(method, target, body)` to a module of the examples, all in one process."""

    def send(module: str, *requests: tuple[str, str, str | None], **variables: str) -> Answers:
        command = ["node", "requests.mjs", str(examples / module), json.dumps(requests)]
        env = {"PATH": os.environ["PATH"], **variables}
        done = subprocess.run(
            command, cwd=examples.parent, env=env, capture_output=True, text=True, timeout=_RUN_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return Answers(json.loads(done.stdout.splitlines()[-1]), done.stderr)

    return send
