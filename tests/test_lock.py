"""requirements.lock has the version of every package that the image installs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from tests.support.lock import COMMAND, EXTRAS, LOCK, ROOT, find_dependencies, is_locked, render

if TYPE_CHECKING:
    from pathlib import Path

LINES = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
LOCKED = dict(line.split("==") for line in LINES)
DEPENDENCIES = [one for one in find_dependencies() if is_locked(one.name)]
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="the file has the packages for Linux")


@only_linux
def test_the_file_is_what_is_installed() -> None:
    assert LOCK.read_text() == render(), f"install the locked versions (make lint), or regenerate it: {COMMAND}"


@pytest.mark.parametrize("name", sorted({one.name for one in DEPENDENCIES}))
def test_every_dependency_is_locked_within_the_bounds_of_all_that_need_it(name: str) -> None:
    assert LOCKED[name] == Version(version(name)).public
    for one in DEPENDENCIES:
        if one.name == name:
            assert one.requirement.specifier.contains(LOCKED[name], prereleases=True), f"{one.needed_by} needs another"


def test_dependencies_of_dependencies_are_found() -> None:
    needed_by = {(one.needed_by, one.name) for one in DEPENDENCIES}
    assert {("clipqueue", "kombu"), ("kombu", "amqp"), ("jinja2", "markupsafe"), ("flower", "tornado")} <= needed_by


def test_the_file_names_versions_only_and_no_build_of_pytorch() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    assert sorted(LOCKED) == list(LOCKED)
    assert not re.search(r"://|\w\.(org|com|net|io)\b", LOCK.read_text())
    assert {"torch", "torchvision"} <= LOCKED.keys()
    assert not [name for name in LOCKED if re.match("nvidia|cuda|triton", name)]


def pip_accepts(file: Path) -> bool:
    """Return whether everything in the file is installed; nothing is downloaded, and no dependency is looked up."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    dry = ["--dry-run", "--no-index", "--no-deps", "-r", str(file)]
    return subprocess.run([*pip, *dry], capture_output=True, check=False).returncode == 0


@only_linux
def test_pip_reads_the_file(tmp_path: Path) -> None:
    assert pip_accepts(LOCK)
    changed = tmp_path / "requirements.lock"
    changed.write_text(re.sub(r"(?m)^kombu==.*$", "kombu==5.6.0", LOCK.read_text()))
    assert not pip_accepts(changed)


def test_the_image_installs_from_the_file() -> None:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install ([^&\n]*)", re.sub(r"(?m)^#.*$", "", text))
    assert len(installs) == 7
    assert all(one.startswith("-c requirements.lock ") for one in installs)
    extras = {extra for one in installs for names in re.findall(r"\.\[(.+)\]", one) for extra in names.split(",")}
    assert extras == set(EXTRAS)
    # Without build isolation, pip downloads no other setuptools to build the wheel.
    assert all("--no-build-isolation" in one for one in installs if ".[" in one)
    # The index of PyTorch gives PyTorch alone: it lacks the locked versions of the other packages.
    assert [one for one in installs if "--index-url" in one] == [
        '-c requirements.lock --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch torchvision '
    ]
    assert "-c requirements.lock torch torchvision" in {one.strip() for one in installs}
