"""Makes requirements.lock from the installed packages: `make lock`, or `python -m tests.support.lock`, writes it.

It pins the packages of the extras that the image installs, with all their dependencies on Linux, and what builds the
image's wheel. It has no hashes: they belong to archives, and an installed package does not know those of its archive.
Each of PyTorch's builds has other ones.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"
COMMAND = "make lock"
EXTRAS = ("worker", "flower", "api", "mongo", "webhooks", "metrics", "top")
_PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
# A CUDA build of PyTorch names the versions of these, and a CPU build needs none.
_BY_PYTORCH = ("triton", "nvidia-", "cuda-")
_HEAD = f"""\
# The versions that the image installs and the tests run with, on Linux. `{COMMAND}` writes this file from the installed
# packages. PyTorch's index chooses its build, for a CPU or for CUDA; the libraries of CUDA are not here.
"""


@dataclass(frozen=True)
class Dependency:
    """A requirement of this project or of a package, as it holds on this machine."""

    needed_by: str
    requirement: Requirement

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)


def render() -> str:
    """Return the content of the file."""
    names = sorted({one.name for one in find_dependencies() if is_locked(one.name)})
    # Without the name of the build, such as +cpu.
    return _HEAD + "".join(f"{name}=={Version(version(name)).public}\n" for name in names)


def is_locked(name: str) -> bool:
    """Return whether the file has this package. The project itself is a dependency of its extras."""
    return name != _PROJECT["project"]["name"] and not any(
        name == one or (one.endswith("-") and name.startswith(one)) for one in _BY_PYTORCH
    )


def find_dependencies(extras: Iterable[str] = EXTRAS) -> Iterator[Dependency]:
    """Yield the requirements of these extras of the project and of every package that they need."""
    pending = [Dependency("clipqueue", Requirement(text)) for text in _own_requirements(extras)]
    seen: set[tuple[str, str, str]] = set()
    while pending:
        dependency = pending.pop()
        yield dependency
        for extra in ("", *sorted(dependency.requirement.extras)):
            for text in requires(dependency.name) or ():
                requirement = Requirement(text)
                applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
                if applies and (key := (dependency.name, extra, text)) not in seen:
                    seen.add(key)
                    pending.append(Dependency(dependency.name, requirement))


def _own_requirements(extras: Iterable[str]) -> list[str]:
    project = _PROJECT["project"]
    needed = [text for extra in extras for text in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *needed, *_PROJECT["build-system"]["requires"]]


if __name__ == "__main__":
    LOCK.write_text(render())
