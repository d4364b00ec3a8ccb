"""What `clipqueue up` prints; tests/producer/local/test_up.py runs it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from producer.cli.up import line_for_path

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("is_found", [True, False])
def test_the_next_steps_say_where_the_program_is_if_the_shell_does_not_find_it(
    is_found: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "a checkout" / "bin"
    folder.mkdir(parents=True)
    (folder / "clipqueue").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder) if is_found else str(tmp_path))
    assert line_for_path() == ("" if is_found else f"  export PATH='{folder}':$PATH\n")


def test_there_is_no_line_where_the_program_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert line_for_path() == ""
