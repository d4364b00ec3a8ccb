"""What an image runs imports only the packages that its extras install. Here all packages are installed."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.support.lock import find_dependencies

ROOT = Path(__file__).parents[1]
PROVIDERS = packages_distributions()
# Needs a process of its own: in this one, the packages may be imported already.
IMPORT = """
import importlib, json, sys
missing, modules = json.load(sys.stdin)
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
for name in modules:
    importlib.import_module(name)
"""
EXTRAS = {
    "flower": (["flower"], ["worker.app", "flower.command", "flower.app"]),
    "api": (["api"], ["producer.api", "producer.search"]),
    "sweep": (
        ["mongo", "webhooks", "metrics", "top"],
        ["producer.documents", "producer.operations", "producer.webhooks", "producer.telemetry", "producer.top"],
    ),
}


def modules_of(name: str) -> list[str]:
    """Return a module, or all modules of a package of this project."""
    folder = ROOT / name.replace(".", "/")
    return [name, *(one.name for one in pkgutil.walk_packages([str(folder)], f"{name}.") if folder.is_dir())]


def import_with(extras: list[str], modules: list[str]) -> subprocess.CompletedProcess[str]:
    """Import modules in a process that has only the packages of these extras."""
    installed = {"clipqueue", *(one.name for one in find_dependencies(extras))}
    missing = [name for name, owners in PROVIDERS.items() if not {canonicalize_name(one) for one in owners} & installed]
    names = [name for module in modules for name in modules_of(module) if "healthcheck" not in name]
    question = json.dumps([missing, names])
    command = [sys.executable, "-c", IMPORT]
    return subprocess.run(command, input=question, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("image", EXTRAS)
def test_an_image_imports_only_what_its_extras_install(image: str) -> None:
    done = import_with(*EXTRAS[image])
    assert done.returncode == 0, done.stderr


def test_a_package_that_no_extra_installs_is_found() -> None:
    done = import_with(["mongo", "metrics"], ["producer.webhooks"])
    assert done.returncode == 1
    assert "No module named 'requests'" in done.stderr
