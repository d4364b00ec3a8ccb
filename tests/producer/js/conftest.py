"""The JavaScript package as its users install it: packed, unpacked into a program's `node_modules`, run by Node."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.js_package import install_package
from tests.support.node_packages import node_modules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TIMEOUT_S = 60


@pytest.fixture(scope="session")
def js_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `node_modules` holds the packed `clipqueue` and all packages of tests/support/node."""
    app = tmp_path_factory.mktemp("js-app")
    install_package(app, node_modules())
    return app


@pytest.fixture
def run_js(js_app: Path, tmp_path: Path) -> Callable[..., Any]:
    """Run an ES module, given as text, in a folder that has the package; return the JSON value that it prints last."""

    def run(script: str, *, node: str = "node", **variables: str) -> Any:
        return run_script(js_app, tmp_path, script, node=node, **variables)

    return run


def run_script(js_app: Path, folder: Path, script: str, *, node: str = "node", **variables: str) -> Any:
    """Run an ES module in a folder, with the packages of `js_app`; return the JSON value that it prints last."""
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(js_app / "node_modules")
    path = folder / "script.mjs"
    path.write_text(script)
    env = {"PATH": os.environ["PATH"], **variables}
    done = subprocess.run(
        [node, str(path)], cwd=folder, env=env, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.rstrip("\n").rpartition("\n")[2])
