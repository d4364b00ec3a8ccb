"""The types of the package fit the examples, and the clients of Redis and MongoDB that they use."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.node_packages import node_modules

CONFIGS = Path(__file__).parents[3] / "support" / "node"


@pytest.mark.parametrize("config", ["examples.tsconfig.json", "worker.tsconfig.json"])
def test_the_examples_pass_the_type_check(config: str, examples: Path) -> None:
    for file in CONFIGS.glob("*.tsconfig.json"):
        shutil.copy(file, examples.parent)
    compiler = str(node_modules() / ".bin" / "tsc")
    done = subprocess.run(
        [compiler, "-p", config], cwd=examples.parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout
