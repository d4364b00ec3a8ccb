"""Runs inside an image, as root and with the standard library alone: prints what the image contains, as JSON."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

UID = 10001
_COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "cmake", "rustc", "go")
# Everyone may write to the two for temporary files; the others belong to the container, not to the image.
_LEFT_OUT = {"/tmp", "/var/tmp", "/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}  # noqa: S108
_CUDA = re.compile(r"^lib(cu|nv|nccl|torch_cuda|c10_cuda)[a-z0-9_]*[-.0-9a-z]*\.so")
_SECRETS = {".env", ".git", ".netrc", ".pypirc", "id_rsa", "id_ed25519", "token", "hf_token"}
_LEFT_OVER = {"/root/.cache", "/home/clipqueue/.cache", "/var/lib/apt/lists"}


def find_all(top: str) -> list[tuple[str, os.stat_result]]:
    """Return each path of the image with its status; links are not followed."""
    found = []
    for folder, names, files in os.walk(top):
        names[:] = [name for name in names if str(Path(folder, name)) not in _LEFT_OUT]
        found += [(path, Path(path).lstat()) for path in (str(Path(folder, name)) for name in names + files)]
    return [(path, status) for path, status in found if path not in _LEFT_OUT]


def is_writable(status: os.stat_result) -> bool:
    """Return whether the user of the services may change this file or folder."""
    if stat.S_ISLNK(status.st_mode) or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return False
    bits = {"owner": stat.S_IWUSR, "group": stat.S_IWGRP, "others": stat.S_IWOTH}
    who = "owner" if status.st_uid == UID else "group" if status.st_gid == UID else "others"
    return bool(status.st_mode & bits[who]) and not status.st_mode & stat.S_ISVTX


def tops(paths: list[str]) -> list[str]:
    """Return the paths that lie in no other of them."""
    kept: list[str] = []
    for path in sorted(paths):
        if not kept or not path.startswith(kept[-1] + "/"):
            kept.append(path)
    return kept


def size_of(name: str, files: list[tuple[str, os.stat_result]]) -> int:
    """Return the bytes of the files below a folder."""
    return sum(status.st_blocks * 512 for path, status in files if path.startswith(name.rstrip("/") + "/"))


def package_sizes(site: str, files: list[tuple[str, os.stat_result]]) -> dict[str, int]:
    """Return the bytes of each folder and file in site-packages."""
    sizes: dict[str, int] = {}
    for path, status in files:
        if path.startswith(site + "/"):
            name = path.removeprefix(site + "/").split("/")[0]
            sizes[name] = sizes.get(name, 0) + status.st_blocks * 512
    return sizes


def describe() -> dict[str, Any]:
    """Return everything that is asked about an image."""
    files = find_all("/")
    site = next(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
    names = {path: Path(path).name for path, _ in files}
    inodes = {(status.st_dev, status.st_ino): status.st_blocks * 512 for _, status in files}
    return {
        "python": sys.version.split()[0],
        "packages": {one.metadata["Name"]: one.version for one in distributions()},
        "size": sum(inodes.values()),
        "sizes": package_sizes(site, files),
        "sources": size_of("/src", files),
        "left_over": {name: size for name in _LEFT_OVER if (size := size_of(name, files))},
        "writable": tops([path for path, status in files if is_writable(status)]),
        "compilers": [name for name in _COMPILERS if shutil.which(name)],
        "cuda": [path for path, name in names.items() if _CUDA.match(name)],
        "secrets": [path for path, name in names.items() if name in _SECRETS],
        "tests": [path for path in names if re.search(rf"^({site}|/app|/src)/tests$", path)],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe()))
