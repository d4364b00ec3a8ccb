"""`make canary`: tests what uses private parts of libraries with their newest versions, in an environment of its own.

First with the newest versions that pyproject.toml allows, then without its upper bounds. It prints what is newer than
in requirements.lock. If the first part fails, a bound must be tighter. If the second fails, it says what stands in the
way of a wider one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".canary"
PYTHON = str(FOLDER / "bin" / "python")
EXTRA = "dev"
# What uses private parts: of Celery, kombu and redis-py; urllib3; open_clip and huggingface_hub; Starlette and uvicorn.
TESTS = (
    "tests/worker/selftest/test_guard.py",
    "tests/worker/selftest/test_libraries.py",
    "tests/worker/broker",
    "tests/worker/fetch",
    "tests/worker/encode/test_hub.py",
    "tests/worker/encode/test_open_clip.py",
    "tests/producer/client",
    "tests/producer/webhooks",
    "tests/producer/api/test_libraries.py",
    "tests/producer/api/test_gate.py",
)
_LOWER = {"~=": ">=", ">=": ">=", "==": ">="}


def main() -> int:
    """Return 1 if the tests of a level failed."""
    venv.create(FOLDER, clear=True, with_pip=True)
    if index := os.environ.get("TORCH_INDEX_URL"):
        pip("install", "--quiet", "--index-url", index, "torch", "torchvision")
    pip("install", "--quiet", "--editable", f".[{EXTRA}]")
    failed = [] if passes("the newest versions that pyproject.toml allows") else ["allowed"]
    newest = [str(one) for one in without_upper_bounds()]
    pip("install", "--quiet", "--upgrade", "--upgrade-strategy", "eager", *newest)
    failed += [] if passes("the newest versions, without the upper bounds of pyproject.toml") else ["newest"]
    sys.stdout.write(f"failed: {', '.join(failed) or 'nothing'}\n")
    return 1 if failed else 0


def passes(level: str) -> bool:
    """Return whether the tests pass with what is installed now."""
    newer = [f"{name} {version} (locked: {locked})" for name, locked, version in find_newer()]
    sys.stdout.write(f"\n{level}: {', '.join(newer) or 'nothing is newer than in requirements.lock'}\n")
    sys.stdout.flush()
    command = [PYTHON, "-m", "pytest", "-q", "-n", "2", "-m", "not chaos and not gpu", *TESTS]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def without_upper_bounds() -> Iterator[Requirement]:
    """Yield what this project needs itself, with the lower bounds alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pending = [*project["dependencies"], f"clipqueue[{EXTRA}]"]
    while pending:
        requirement = Requirement(pending.pop())
        if requirement.name == project["name"]:
            pending += [text for extra in requirement.extras for text in project["optional-dependencies"][extra]]
        else:
            lower = [f"{_LOWER[one.operator]}{one.version}" for one in requirement.specifier if one.operator in _LOWER]
            requirement.specifier = SpecifierSet(",".join(lower))
            yield requirement


def find_newer() -> Iterator[tuple[str, str, str]]:
    """Yield the packages with another version than the locked one: name, locked version, installed version."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if not line.startswith("#"))
    for package in json.loads(pip("list", "--format", "json")):
        name, version = canonicalize_name(package["name"]), package["version"].partition("+")[0]
        if locked.get(name, version) != version:
            yield name, locked[name], version


def pip(*arguments: str) -> str:
    """Run pip in the environment and return its output. Ends the program if pip fails."""
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"pip {arguments[0]} failed; its message is above")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
