"""Runs a bundled Cloudflare Worker in workerd, the runtime of Cloudflare, on a free port of this machine.

The Worker reaches this machine alone. Its cache is tests/support/node/cache.js, since workerd itself keeps nothing.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from producer.local.guardian import start_guarded
from tests.support.node_packages import node_modules
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CACHE = Path(__file__).parent / "node" / "cache.js"
# The spaces around `=` are needed: `=.main` is a syntax error.
_CONFIG = """
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "cache", worker = .cache),
    (name = "internet", network = (allow = ["127.0.0.0/8", "::1/128"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "main", esModule = embed "main.js")],
  compatibilityDate = %(date)s,
  bindings = [%(bindings)s],
  cacheApiOutbound = "cache",
);
const cache :Workerd.Worker = (
  modules = [(name = "cache", esModule = embed "cache.js")],
  compatibilityDate = %(date)s,
);
"""


@contextmanager
def running_workerd(script: Path, folder: Path, date: str, variables: Mapping[str, str]) -> Iterator[str]:
    """Run a Worker for a block, and yield its address.

    Args:
        script: The bundle, an ES module.
        folder: A folder that is created for the configuration and the log.
        date: The compatibility date.
        variables: The texts in the Worker's `env`.
    """
    folder.mkdir()
    (folder / "main.js").write_bytes(script.read_bytes())
    (folder / "cache.js").write_bytes(_CACHE.read_bytes())
    bindings = ", ".join(f"(name = {_text(name)}, text = {_text(value)})" for name, value in variables.items())
    (folder / "config.capnp").write_text(_CONFIG % {"date": _text(date), "bindings": bindings})
    ports, log = folder / "ports.json", folder / "workerd.log"
    command = [str(_binary()), "serve", "--control-fd=1", str(folder / "config.capnp")]
    with ports.open("wb") as stdout, log.open("wb") as stderr:
        process = start_guarded(command, stdout=stdout, stderr=stderr)
    try:
        wait_for(lambda: ports.read_text().endswith("\n") or process.poll() is not None, "workerd to start")
        assert process.poll() is None, f"workerd ended:\n{log.read_text()}"
        yield f"http://127.0.0.1:{json.loads(ports.read_text())['port']}"
    finally:
        process.terminate()
        process.wait()


def _binary() -> Path:
    # Not .bin/workerd: that is a program of Node which starts this one, and would leave it behind.
    binaries = list((node_modules() / "@cloudflare").glob("workerd-*/bin/workerd"))
    if not binaries:
        pytest.skip("the package workerd has no program for this machine")
    return binaries[0]


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
