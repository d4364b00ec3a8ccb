"""The examples name the packages that the tests run them with, and their types fit."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.js_package import SOURCE
from tests.support.node_packages import LOCKED, node_modules

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = sorted((SOURCE / "examples").glob("*/package.json"))


@pytest.mark.parametrize("config", ["examples.tsconfig.json", "worker.tsconfig.json"])
def test_the_examples_pass_the_type_check(config: str, examples: Path) -> None:
    for file in LOCKED.glob("*.tsconfig.json"):
        shutil.copy(file, examples.parent)
    compiler = str(node_modules() / ".bin" / "tsc")
    done = subprocess.run(
        [compiler, "-p", config], cwd=examples.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.parent.name)
def test_an_example_names_the_versions_that_are_tested(package: Path) -> None:
    named = json.loads(package.read_text())["dependencies"]
    version = json.loads((SOURCE / "package.json").read_text())["version"]
    assert named.pop("clipqueue") == f"file:clipqueue-{version}.tgz"
    locked = json.loads((LOCKED / "package.json").read_text())["dependencies"]
    assert named == {name: f"^{locked[name]}" for name in named}
