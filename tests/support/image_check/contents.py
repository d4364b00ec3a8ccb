"""Looks into an image: its size, its packages, and what must not be in it."""

from __future__ import annotations

import gzip
import json
import tarfile
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from packaging.utils import canonicalize_name

from tests.support.image_check.build import SECRET, image_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.image_check.build import Plan
    from tests.support.image_check.engine import Engine
    from tests.support.image_check.report import Report

_INSIDE = Path(__file__).with_name("inside.py")
_MB = 1_000_000
_LARGEST = 5
_CHUNK_BYTES = 1 << 22
# What the service's user may write to: its home, and in the worker the folder of the weights that the build downloads.
_OWN_FOLDERS = {"/home/clipqueue", "/opt/models"}
# The base image's own, and what redis-py needs on the Python of the stand-in, below 3.11.3.
_UNLOCKED = {"clipqueue", "pip", "wheel", "async-timeout"}
_GZIP = b"\x1f\x8b"


def check_contents(report: Report, engine: Engine, plan: Plan, service: str) -> None:
    """Check one image without starting its service."""
    found = _look_into(engine, service)
    _say_sizes(report, service, found)
    _check_packages(report, engine, plan, service, found)
    report.check(service, "no compiler", found["compilers"] or "none", not found["compilers"])
    report.check(service, "no library of CUDA", found["cuda"][:3] or "none", not found["cuda"])
    report.check(
        service,
        "no tests, no file of secrets",
        found["tests"] + found["secrets"] or "none",
        not found["tests"] + found["secrets"],
    )
    report.check(service, "nothing left over in caches", found["left_over"] or "nothing", not found["left_over"])
    others = [path for path in found["writable"] if path not in _OWN_FOLDERS]
    report.check(service, "10001 may write to its own folders only", ", ".join(others or found["writable"]), not others)
    version = _run_in(engine, service, "clipqueue", "--version")
    report.check(service, "clipqueue --version", version, version.startswith("clipqueue"))


def check_layers(report: Report, engine: Engine, service: str) -> None:
    """Check that no layer, and not the history, contains the secret of the build."""
    with tempfile.NamedTemporaryFile() as file:
        engine.run("save", "--output", file.name, image_name(service))
        found = [name for name, stream in _members(Path(file.name)) if _contains(stream, SECRET.encode())]
    report.check(service, "the build's secret is in no layer", found or "in none", not found)


def _look_into(engine: Engine, service: str) -> dict[str, Any]:
    command = ["run", "--rm", "--interactive", "--network", "none", "--user", "0", "--entrypoint", "python"]
    text = engine.run(*command, image_name(service), "-I", "-", stdin=_INSIDE.read_text())
    found: dict[str, Any] = json.loads(text)
    return found


def _run_in(engine: Engine, service: str, *command: str) -> str:
    done = engine.attempt("run", "--rm", "--network", "none", image_name(service), *command)
    return (done.stdout + done.stderr).strip()


def _say_sizes(report: Report, service: str, found: dict[str, Any]) -> None:
    largest = sorted(found["sizes"].items(), key=lambda one: -one[1])[:_LARGEST]
    shown = ", ".join(f"{name} {size / _MB:.0f}" for name, size in largest)
    report.say(service, "size in MB", f"{found['size'] / _MB:.0f}; largest packages: {shown}")
    report.say(service, "sources kept in /src, in MB", f"{found['sources'] / _MB:.1f}")


def _check_packages(report: Report, engine: Engine, plan: Plan, service: str, found: dict[str, Any]) -> None:
    lines = (plan.context(service) / "requirements.lock").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    packages = {canonicalize_name(name): version.partition("+")[0] for name, version in found["packages"].items()}
    different = [
        f"{name}=={version}"
        for name, version in packages.items()
        if name not in _UNLOCKED and locked.get(name) != version
    ]
    report.check(
        service, "versions are those of requirements.lock", ", ".join(different) or len(packages), not different
    )
    has_torch = "torch" in packages
    report.check(service, "has PyTorch", has_torch, has_torch == (service == "worker"))
    problems = _run_in(engine, service, "python", "-m", "pip", "check")
    report.check(service, "pip check", problems, problems == "No broken requirements found.")


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name of each layer and each file of settings of a saved image, and its content uncompressed."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and (stream := tar.extractfile(member)):
                head = stream.read(2)
                stream.seek(0)
                yield member.name, cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if head == _GZIP else stream


def _contains(stream: IO[bytes], text: bytes) -> bool:
    tail = b""
    while chunk := stream.read(_CHUNK_BYTES):
        if text in tail + chunk:
            return True
        tail = chunk[-len(text) :]
    return False
