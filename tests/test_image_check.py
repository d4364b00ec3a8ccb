"""The parts of `make image-check` that need no Docker engine."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.support.image_check import torch_index
from tests.support.image_check.build import argument
from tests.support.image_check.inside import UID, is_writable, tops
from tests.support.image_check.report import Report

if TYPE_CHECKING:
    from pathlib import Path


def status(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "expected"),
    [
        (0o100644, 0, 0, False),
        (0o100664, 0, UID, True),
        (0o100646, 0, 0, True),
        (0o100644, UID, 0, True),
        (0o100464, UID, UID, False),  # the owner's bits count, not those of the group
        (0o041777, 0, 0, False),  # a folder like /tmp, where each may change only what is theirs
        (0o120777, 0, 0, False),  # a link
    ],
)
def test_what_the_services_user_may_write_to_is_found(mode: int, uid: int, gid: int, expected: bool) -> None:
    assert is_writable(status(mode, uid, gid)) is expected


def test_of_writable_paths_only_the_topmost_are_named() -> None:
    assert tops(["/a/b/c", "/a/b", "/a/bc", "/d"]) == ["/a/b", "/a/bc", "/d"]


def test_a_failed_check_and_an_error_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.say("all", "engine", "Docker")
    report.check("api", "pip check", "fine", ok=True)
    assert report.failures == 0
    report.check("api", "no compiler", "gcc", ok=False)
    with report.part("flower", "runs"):
        raise OSError("no answer")
    report.print_table()
    assert report.failures == 2
    assert "3 checks, 2 failed" in capsys.readouterr().out


def test_the_dockerfile_has_the_arguments_that_the_check_replaces() -> None:
    assert argument("PYTHON_IMAGE").startswith("python:3.11")
    assert argument("TORCH_INDEX_URL").startswith("https://")
    with pytest.raises(AssertionError, match="no argument NONE"):
        argument("NONE")


def test_torchvision_belongs_to_torch() -> None:
    assert torch_index.torchvision_for("2.13.0") == "0.28.0"
    assert torch_index.torchvision_for("2.14.1") == "0.29.1"


def test_torchvision_without_compiled_code_is_a_wheel_whose_files_have_their_hashes(tmp_path: Path) -> None:
    wheel = tmp_path / "torchvision-0.28.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (
            "torchvision/_C.so",
            "torchvision.libs/libcudart.so.13",
            "torchvision/extension.py",
            "t.dist-info/RECORD",
        ):
            archive.writestr(name, "import torch\n")
    torch_index.strip(wheel)
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert files.keys() == {"torchvision/extension.py", "t.dist-info/RECORD"}
    assert b"torchvision::nms" in files["torchvision/extension.py"]
    rows = {
        name: (digest, size) for name, digest, size in csv.reader(io.StringIO(files["t.dist-info/RECORD"].decode()))
    }
    content = files["torchvision/extension.py"]
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    assert rows["torchvision/extension.py"] == (f"sha256={digest}", str(len(content)))
