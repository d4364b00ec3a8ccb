"""The list of private parts of libraries is complete and has nothing too much, and the versions are bounded."""

from __future__ import annotations

import ast
import platform
import re
import tomllib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from producer.api.libraries import MAX_SIZE
from producer.api.libraries import PARTS as API_PARTS
from tests.support.internals import ROOT, find_names, find_uses, identifiers, sources
from worker.selftest.parts import PARTS, VERSIONS

if TYPE_CHECKING:
    from pathlib import Path

LISTED = {name for parts in PARTS for name in (*parts.used.split(), *parts.overridden.split())}
PRIVATE_MODULES = {name for parts in PARTS for name in re.split("[.:]", parts.owner) if name.startswith("_")}
# Documented attributes that are made to be set: of rich, the standard library, FastAPI, requests, the convertors of
# Starlette, the listeners of pymongo, and the collectors of prometheus_client.
DOCUMENTED = {
    "padding",
    "pad_edge",
    "box",
    "daemon_threads",
    "openapi",
    "openapi_schema",
    "regex",
    "convert",
    "to_string",
    "trust_env",
    "mount",
    "get_redirect_target",
    "daemon",
    "_exit",
    "started",
    "succeeded",
    "failed",
    "excepthook",
    "msg",
    "__stdout__",
    "collect",
}
# The API does not need the worker, and has a list and a check of its own.
OF_THE_API = {name for names in API_PARTS.values() for name in names.split()} | {MAX_SIZE}
# Textual is a framework: programs inherit from its classes. These parts are documented; its major version is bounded.
OF_TEXTUAL = {
    "BINDINGS",
    "CSS",
    "DEFAULT_CSS",
    "ENABLE_COMMAND_PALETTE",
    "call_after_refresh",
    "compose",
    "dismiss",
    "exit",
    "post_message",
    "push_screen",
    "refresh",
    "render_line",
    "screen",
    "set_interval",
    "size",
}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def allowed_in(path: Path) -> set[str]:
    rooms = {"api": OF_THE_API, "top": OF_TEXTUAL}
    return PRIVATE_MODULES | DOCUMENTED | rooms.get(path.relative_to(ROOT).parts[1], set())


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_used_part_of_a_library_is_on_the_list(path: Path) -> None:
    missing = sorted(use for use in find_uses(path) if use.name not in LISTED | allowed_in(path))
    assert not missing, "add these to worker/selftest/parts.py, so that a worker checks them at start"


def test_every_part_on_the_list_is_used() -> None:
    used = {name for path in sources() if path.parent.name != "selftest" for name in identifiers(path)}
    assert not LISTED - used, "remove these from worker/selftest/parts.py"
    api = [path for path in sources() if path.is_relative_to(ROOT / "producer/api") and path.name != "libraries.py"]
    assert not OF_THE_API - {name for path in api for name in identifiers(path)}, "remove these from libraries.py"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("client._private()", {"_private"}),
        ("self.client._private.x", {"_private"}),
        ("self._ours = 1\nx._ours", set()),
        ("self._ours", set()),
        ("getattr(x, '_private')", {"_private"}),
        ("getattr(x, 'public')", set()),
        ("setattr(x, 'name', 1)", {"name"}),
        ("import kombu.transport\nkombu.transport.TABLE['redis'] = 1", {"TABLE"}),
        ("from kombu.transport import TABLE\nTABLE['redis'] = 1", {"TABLE"}),
        ("from PIL import Image\nImage.LIMIT = 1", {"LIMIT"}),
        ("import os\nos.environ['A'] = 1", set()),
        ("pool.factory = 1", {"factory"}),
        ("celery.conf.setting = 1", set()),
        ("from kombu._internal import x", {"_internal"}),
        ("from kombu import _internal", {"_internal"}),
        ("from ..contract import _ours", set()),
        ("class A(super()._get_client()):\n  def parse(self): pass", {"parse"}),
    ],
)
def test_what_counts_as_a_use(source: str, names: set[str]) -> None:
    assert find_names(ast.parse(source), ROOT / "worker" / "app.py") == names


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("worker/fetch/http.py", {"_new_conn", "_dns_host", "_new_pool", "init_poolmanager", "proxy_manager", "send"}),
        ("worker/lifecycle/events.py", {"buffer_limit", "requires", "start", "stop"}),
        ("worker/decode/pillow.py", {"MAX_IMAGE_PIXELS", "LOAD_TRUNCATED_IMAGES"}),
        ("producer/local/servers.py", {"_binary"}),
    ],
)
def test_overridden_and_inherited_parts_are_found(file: str, names: set[str]) -> None:
    assert names <= {use.name for use in find_uses(ROOT / file)}


@pytest.mark.parametrize("package", [package for package in VERSIONS if package != "python"])
def test_the_versions_are_the_bounds_of_the_project_and_admit_what_is_installed(package: str) -> None:
    bounds = [
        requirement.specifier
        for extra in ("flower", "worker", "local")
        for requirement in map(Requirement, EXTRAS[extra])
        if requirement.name == package
    ]
    assert bounds
    assert set(bounds) == {SpecifierSet(VERSIONS[package])}
    assert version(package) in bounds[0]


def test_the_versions_of_python_are_those_with_which_tests_have_passed() -> None:
    versions = SpecifierSet(VERSIONS["python"])
    tested = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if line[-1].isdigit()]
    assert [f"3.{minor}" for minor in range(50) if f"3.{minor}" in versions] == tested
    assert platform.python_version() in versions


@pytest.mark.parametrize("package", sorted({parts.package for parts in PARTS}))
def test_a_library_with_private_parts_is_bounded_to_a_minor_version(package: str) -> None:
    names = [
        name for parts in PARTS if parts.package == package for name in (parts.used + " " + parts.overridden).split()
    ]
    owners = [parts.owner for parts in PARTS if parts.package == package]
    if any(re.search(r"(^|[.:])_", name) for name in (*names, *owners)):
        assert re.fullmatch(r"~=\d+\.\d+\.\d+", VERSIONS[package])
    assert not SpecifierSet(VERSIONS[package]).contains("99")


def test_the_base_install_and_torch_stay_unbounded() -> None:
    """A backend has its own versions, and the index chooses those of PyTorch."""
    assert "redis>=6.4,<9" in PROJECT["dependencies"]
    assert {"torch>=2.4", "torchvision"} <= set(EXTRAS["worker"])
