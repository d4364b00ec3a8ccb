"""The table of runtimes and transports: each cell that says yes enqueues a job, and each other one cannot."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
import requests

from tests.support.api import KEY, running_api
from tests.support.bundles import EDGE, WORKER, bundle
from tests.support.node_packages import node_modules
from tests.support.queued import accepted_jobs
from tests.support.runtimes import CELLS, COMMAND, NO, render, table_of_the_page
from tests.support.upstash import Upstash
from tests.support.workerd import running_workerd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producer.local.stack import Stack

    # For each transport, "yes" or the message of its error.
    Outcomes = dict[str, str]

PROGRAMS = Path(__file__).parents[2] / "support" / "node"
DATE = "2026-11-01"
_RUN_S = 60
# What a program gets to hear when it loads a package for another runtime.
_CANNOT_LOAD = re.compile(r"require .* is not supported|Buffer is not defined|protocol 'cloudflare:'|dynamic import")


@pytest.fixture(scope="module")
def programs(js_app: Path) -> Path:
    folder = js_app / "cells"
    folder.mkdir()
    for program in PROGRAMS.glob("*.*js"):
        shutil.copy(program, folder)
    return folder


@pytest.fixture(scope="module")
def variables(own: Stack) -> Iterator[dict[str, str]]:
    """The variables with which a program finds Redis, the stand-in for Upstash, and the API."""
    with (
        Upstash(own.redis_url) as rest,
        running_api(REDIS_URL=own.redis_url, MONGODB_URI=own.mongodb_uri) as api,
    ):
        yield {
            "REDIS_URL": own.redis_url,
            "KV_REST_API_URL": rest.url,
            "KV_REST_API_TOKEN": rest.token,
            "CLIPQUEUE_URL": api.url,
            "CLIPQUEUE_KEY": KEY,
        }


@pytest.fixture(scope="module")
def outcomes_of(programs: Path, variables: dict[str, str]) -> Callable[[str], Outcomes]:
    """A function that runs all transports in one process of a runtime, once."""

    @cache
    def run(runtime: str) -> Outcomes:
        env = {**variables, "RUNTIME": runtime}
        if runtime == "workerd":
            return _run_in_workerd(programs, env)
        if runtime == "edge":
            script = bundle(programs / "cells-edge.mjs", programs / "edge.js", EDGE)
            return _run_in_node("node", [programs / "edge.mjs", script], env)
        return _run_in_node(_node(runtime), [programs / "cells-node.mjs"], env)

    return run


@pytest.mark.parametrize(("runtime", "transport"), CELLS, ids=[f"{runtime}-{one}" for runtime, one in CELLS])
def test_a_job_arrives_as_the_table_says(
    runtime: str, transport: str, outcomes_of: Callable[[str], Outcomes], own: Stack
) -> None:
    outcome = outcomes_of(runtime)[transport]
    found = _urls_of(f"{runtime}-{transport}", own)
    if (runtime, transport) in NO:
        assert _CANNOT_LOAD.search(outcome), outcome
        assert not found
    else:
        assert (outcome, found) == ("yes", ["https://example.com/cat.jpg"])


@pytest.mark.parametrize("runtime", ["node20", "node24"])
def test_a_program_of_commonjs_enqueues(runtime: str, programs: Path, variables: dict[str, str], own: Stack) -> None:
    _run_in_node(_node(runtime), [programs / "cells-require.cjs"], {**variables, "RUNTIME": runtime})
    assert _urls_of(f"{runtime}-require", own) == ["https://example.com/cat.jpg"]


def test_the_page_has_this_table() -> None:
    assert table_of_the_page() == render(), f"regenerate it: {COMMAND}"


def _urls_of(image_id: str, own: Stack) -> list[str]:
    """Return the URLs of the jobs for this image that a worker would read from the queue."""
    with redis.Redis.from_url(own.redis_url) as broker:
        return [job["url"] for job in accepted_jobs(broker) if job["image_id"] == image_id]


def _node(runtime: str) -> str:
    """Return the Node of PATH, or the newer one that npm installed."""
    return "node" if runtime == "node20" else str(node_modules() / "node-newer" / "bin" / "node")


def _run_in_node(node: str, command: list[Path], env: dict[str, str]) -> Outcomes:
    done = subprocess.run(
        [node, *map(str, command)],
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _run_in_workerd(programs: Path, env: dict[str, str]) -> Outcomes:
    script = bundle(programs / "cells-worker.mjs", programs / "worker.js", WORKER)
    with running_workerd(script, programs / "workerd", DATE, env) as url:
        return dict(requests.get(url, timeout=_RUN_S).json())
