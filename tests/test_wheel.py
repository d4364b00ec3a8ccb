"""The installed distribution: its files, and the import name `clipqueue` beside another package named `producer`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.queued import queued_ids

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection

    from producer.local.stack import Stack

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
OFFLINE = ["--no-index", "--no-deps", "--no-build-isolation"]
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


def pip(*arguments: str | Path) -> None:
    subprocess.run([*PIP, *map(str, arguments)], check=True, timeout=120)


def run_python(site: Path, script: str, cwd: Path) -> str:
    code = WITH_SITE.format(site=str(site), libraries=sysconfig.get_path("purelib")) + script
    command = [sys.executable, "-S", "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=cwd, env=bare_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bare_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


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
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", *OFFLINE, "--wheel-dir", folder, source)
    return next(folder.glob("clipqueue-*.whl"))


@pytest.fixture(scope="module")
def sites(source: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two folders with an installed clipqueue: one from the wheel, one editable."""
    sites = {name: tmp_path_factory.mktemp(name) for name in ("wheel", "editable")}
    pip("install", *OFFLINE, "--target", sites["wheel"], wheel)
    pip("install", *OFFLINE, "--target", sites["editable"], "--editable", source)
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


def test_the_wheel_contains_every_file_of_the_sources(source: Path, wheel: Path) -> None:
    """A folder that the packages in pyproject.toml do not list would be missing."""
    files = {path.relative_to(source) for folder in ("producer", "worker") for path in (source / folder).rglob("*.*")}
    aliased = {
        Path("clipqueue", *path.parts[1:])
        for path in files
        if path.parts[0] == "producer" and (len(path.parts) == 2 or path.parts[1] in ALIASED)
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {Path(name) for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == files | aliased
