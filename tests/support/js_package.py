"""Packs the JavaScript package, and installs it as its users do."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.support.node_packages import node_modules

SOURCE = Path(__file__).parents[2] / "producer" / "js"


def install_package(app: Path, modules: Path) -> None:
    """Give a folder a `node_modules` that holds the packed `clipqueue` and all packages of `modules`.

    Args:
        app: A folder; the archive stays there too.
        modules: What `node_modules()` of tests/support/node_packages.py returns.
    """
    source = shutil.copytree(SOURCE, app / "source", ignore=shutil.ignore_patterns("dist", "node_modules"))
    path = f"{modules / '.bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["npm", "pack", "--silent", "--pack-destination", str(app)]
    done = subprocess.run(
        command, cwd=source, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (app / "node_modules").mkdir()
    for package in modules.iterdir():
        (app / "node_modules" / package.name).symlink_to(package)
    (archive,) = app.glob("clipqueue-*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(app / "unpacked", filter="data")
    (app / "unpacked" / "package").rename(app / "node_modules" / "clipqueue")


def bundle_source(program: Path, folder: Path) -> Path:
    """Return a program together with the package's sources that it imports from `clipqueue-source/`."""
    bundled = folder / program.name
    command = [
        str(node_modules() / ".bin" / "esbuild"),
        str(program),
        "--bundle",
        "--platform=node",
        "--format=esm",
        f"--alias:clipqueue-source={SOURCE / 'src'}",
        f"--outfile={bundled}",
        "--log-level=warning",
    ]
    subprocess.run(command, check=True, timeout=60)
    return bundled
