"""The installed distribution: its files, and the import name `clipqueue` beside another package named `producer`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.queued import queued_ids

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack

ROOT = Path(__file__).parents[1]
# Downloads nothing: the build uses the setuptools that is installed.
PIP_INSTALL = [
    *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"),
    *("--no-index", "--no-deps", "--no-build-isolation", "--no-compile"),
]
ALIASED = ("client", "contract", "documents")

# Python starts without its site-packages, so that the editable install of this repository is not found.
WITH_SITE = """
import site, sys
site.addsitedir({site!r})
sys.path.append({libraries!r})
"""
USE_CLIPQUEUE = """
import json, pkgutil, importlib
from clipqueue import (
    BrokerUnavailable, ClipqueueError, ConfigurationError, EmbeddingClient, ImageJob, InvalidJob, ObjectIdRef,
    StoreUnavailable,
)
client = EmbeddingClient({redis_url!r}, mongodb_uri={mongodb_uri!r}, collection="installed")
client.enqueue("light", "http://host/a.jpg")
light = sorted({{"pymongo", "bson", "celery", "torch"}} & set(sys.modules))
client.enqueue({image_id!r}, "http://host/b.jpg", record=True)
client.close()
try:
    client.enqueue("", "http://host/")
except InvalidJob:
    pass
for folder in ("client", "contract", "documents"):
    package = importlib.import_module("clipqueue." + folder)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(package.__name__ + "." + module.name)
ours = [name for name in sys.modules if name.partition(".")[0] in ("producer", "worker")]
import producer
print(json.dumps([producer.NAME, light, ours]))
"""


def pip_install(*arguments: str | Path) -> None:
    subprocess.run([*PIP_INSTALL, *map(str, arguments)], check=True, timeout=120)


def run_python(site: Path, script: str, cwd: Path) -> str:
    code = WITH_SITE.format(site=str(site), libraries=sysconfig.get_path("purelib")) + script
    command = [sys.executable, "-S", "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=cwd, env=bare_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bare_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def files_in(root: Path, folder: str) -> set[Path]:
    """Return the files of a package. The JavaScript package, which is a package of its own, is left out."""
    return {
        path.relative_to(root)
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and (root / "producer" / "js") not in path.parents
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, because a build writes beside them."""
    source = tmp_path_factory.mktemp("source")
    for folder in ("producer", "worker"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def sites(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two folders with an installed clipqueue: one from the wheel that pip builds, one editable."""
    sites = {kind: tmp_path_factory.mktemp(kind) for kind in ("wheel", "editable")}
    pip_install("--target", sites["wheel"], source)
    pip_install("--target", sites["editable"], "--editable", source)
    return sites


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """The working directory of a backend that has a package `producer` of its own."""
    (tmp_path / "producer").mkdir()
    (tmp_path / "producer/__init__.py").write_text('NAME = "the backend\'s"\n')
    return tmp_path


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_clipqueue_can_be_imported_beside_another_producer(
    kind: str,
    sites: dict[str, Path],
    backend: Path,
    stack: Stack,
    redis_url: str,
    queue: redis.Redis,
    collection: Collection[dict[str, Any]],
    new_id: str,
) -> None:
    """Every public name and every module works, and nothing imports `producer`."""
    script = USE_CLIPQUEUE.format(redis_url=redis_url, mongodb_uri=stack.mongodb_uri, image_id=new_id)
    assert json.loads(run_python(sites[kind], script, backend)) == ["the backend's", [], []]
    assert queued_ids(queue) == ["light", new_id]
    assert collection.database["installed"].count_documents({"_id": new_id, "embedding_job.status": "pending"}) == 1


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_both_import_names_have_the_same_public_names(kind: str, sites: dict[str, Path], tmp_path: Path) -> None:
    script = "import clipqueue, producer; print(clipqueue.__all__ == producer.__all__, clipqueue.__name__)"
    assert run_python(sites[kind], script, tmp_path).split() == ["True", "clipqueue"]


def test_the_command_works_beside_another_producer(sites: dict[str, Path], backend: Path) -> None:
    command = [sys.executable, str(sites["wheel"] / "bin/clipqueue"), "--version"]
    env = {**bare_environment(), "PYTHONPATH": str(sites["wheel"])}
    done = subprocess.run(command, cwd=backend, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("clipqueue, version "), done.stderr


def test_the_wheel_contains_every_file_of_the_sources(source: Path, sites: dict[str, Path]) -> None:
    """A folder that the packages in pyproject.toml do not list would be missing."""
    expected = {file for folder in ("producer", "worker") for file in files_in(source, folder)}
    aliased = {
        Path("clipqueue", *file.parts[1:])
        for file in expected
        if file.parts[0] == "producer" and (len(file.parts) == 2 or file.parts[1] in ALIASED)
    }
    installed = {file for folder in ("clipqueue", "producer", "worker") for file in files_in(sites["wheel"], folder)}
    assert installed == expected | aliased
