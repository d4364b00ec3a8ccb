"""Installs the JavaScript packages of tests/support/node: `python -m tests.support.node_packages`, once for each lock.

They are put beside this Python, in its environment's folder `node`. The tests themselves fetch nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

LOCKED = Path(__file__).parent / "node"
INSTALLED = Path(sys.prefix) / "node"
_FILES = ("package.json", "package-lock.json")
_INSTALL_S = 300
_NODE = 20


def node_modules() -> Path:
    """Return the folder of the installed packages; skip the test, with the reason, if they are not installed."""
    if (missing := without_node()) is not None:
        pytest.skip(missing)
    if not is_installed():
        pytest.skip("the JavaScript packages are not installed: run `python -m tests.support.node_packages`")
    return INSTALLED / "node_modules"


@cache
def without_node() -> str | None:
    """Return why the JavaScript tests cannot run here; None if they can."""
    if shutil.which("npm") is None or (node := shutil.which("node")) is None:
        return "the JavaScript tests are skipped: they need Node 20 or newer with npm, which is not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < _NODE:
        return f"the JavaScript tests are skipped: they need Node {_NODE} or newer, and this is {version}"
    return None


def is_installed() -> bool:
    """Return whether the locked versions are installed."""
    done = INSTALLED / "done"
    return done.exists() and done.read_text() == (LOCKED / "package-lock.json").read_text()


def install() -> None:
    """Install the locked versions, unless they are. Without npm, or without its registry, say so and do nothing."""
    if is_installed():
        return
    if (missing := without_node()) is not None:
        print(missing)  # noqa: T201
        return
    INSTALLED.mkdir(exist_ok=True)
    for name in _FILES:
        shutil.copy(LOCKED / name, INSTALLED)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        subprocess.run(command, cwd=INSTALLED, check=True, timeout=_INSTALL_S, stdout=subprocess.DEVNULL)
    except (subprocess.SubprocessError, OSError) as exc:
        print(f"npm failed ({exc}): the JavaScript tests are skipped")  # noqa: T201
        return
    shutil.copy(LOCKED / "package-lock.json", INSTALLED / "done")


if __name__ == "__main__":
    install()
