"""A stand-in for PyTorch's index of CPU builds, where that cannot be reached: an index on a loopback address.

It serves a CPU wheel of torch that lies on this machine, the torchvision of pip's index without its compiled code,
which needs CUDA, and what both need. The project uses no compiled code of torchvision.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import quote, unquote

from packaging.utils import canonicalize_name

from tests.support.image_check.pip import links_of_pip, run_pip
from tests.support.servers import Answer, ImageServer

PYTHON = "3.11"
_TIMEOUT_S = 10
# torchvision describes these two to PyTorch's compiler, and expects that its compiled code has defined them.
_DEFINE = """
torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
_COMPILED = re.compile(r"^torchvision\.libs/|^torchvision/.*\.so$")


class TorchIndexError(Exception):
    """There is no CPU build of PyTorch for the image."""


def answers(index: str) -> bool:
    """Return whether an index can be reached."""
    try:
        urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=_TIMEOUT_S).close()  # noqa: S310
    except OSError:
        return False
    return True


def find_wheel() -> Path:
    """Return the newest CPU wheel of torch in the folders that pip looks into.

    Raises:
        TorchIndexError: There is none.
    """
    tag = f"cp{PYTHON.replace('.', '')}"
    wheels = [path for folder in links_of_pip() for path in Path(folder).glob(f"torch-*+cpu-{tag}-*linux*_x86_64.whl")]
    if not wheels:
        raise TorchIndexError(
            "PyTorch's CPU index cannot be reached. Set TORCH_INDEX_URL to one that can, or PIP_FIND_LINKS to a folder "
            f"with a wheel torch-*+cpu-{tag}-*.whl"
        )
    return max(wheels, key=lambda path: [int(digits) for digits in path.name.split("-")[1].split("+")[0].split(".")])


def version_of(wheel: Path) -> str:
    """Return the version without the name of the build, such as 2.13.0."""
    return wheel.name.split("-")[1].partition("+")[0]


def torchvision_for(torch: str) -> str:
    """Return the version of torchvision that belongs to a version of torch: 0.28.0 to 2.13.0."""
    major, minor, patch = torch.split(".")
    assert major == "2", "the numbers of torchvision follow those of torch 2"
    return f"0.{int(minor) + 15}.{patch}"


def collect(folder: Path, lock: Path) -> None:
    """Fill the folder with the wheels, in the versions of the lock file. Nothing is done if it has them already."""
    torch = find_wheel()
    vision = f"torchvision=={torchvision_for(version_of(torch))}"
    done = folder / f"done-{torch.name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if done.exists():
        return
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    target = ["--quiet", "--dest", str(folder), "--only-binary", ":all:", "--python-version", PYTHON]
    run_pip("download", *target, "--constraint", str(lock), str(torch), vision)
    (original,) = folder.glob("torchvision-*.whl")
    strip(original)
    done.touch()


def strip(wheel: Path) -> None:
    """Remove the compiled code of torchvision from its wheel, which PyTorch's CPU build cannot load."""
    with zipfile.ZipFile(wheel) as source:
        files = {name: source.read(name) for name in source.namelist() if not _COMPILED.search(name)}
    files["torchvision/extension.py"] += _DEFINE.encode()
    record = next(name for name in files if name.endswith(".dist-info/RECORD"))
    files[record] = _record({name: content for name, content in files.items() if name != record}, record)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    """Return the list of a wheel's files with their hashes."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow([name, f"sha256={digest}", len(content)])
    rows.writerow([own_name, "", ""])
    return text.getvalue().encode()


def serve(folder: Path) -> ImageServer:
    """Return a server whose address is that of a package index with the wheels of this folder."""
    server = ImageServer()
    pages: dict[str, list[str]] = {}
    for wheel in folder.glob("*.whl"):
        path = f"/files/{quote(wheel.name)}"
        server.add(path, wheel.read_bytes())
        pages.setdefault(canonicalize_name(wheel.name.split("-")[0]), []).append(path)
    for name, paths in pages.items():
        links = "".join(f'<a href="{path}">{unquote(path.rpartition("/")[2])}</a>' for path in paths)
        server.add(f"/{name}/", Answer(f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), headers=_HTML))
    return server


_HTML = {"Content-Type": "text/html; charset=utf-8"}
