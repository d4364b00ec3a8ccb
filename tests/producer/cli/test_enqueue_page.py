"""The examples of docs/operations.md and of `clipqueue enqueue --help`, run word for word."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.commands import invoke

if TYPE_CHECKING:
    import pytest
    import redis

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
EXAMPLE = re.compile(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)


def _examples() -> list[tuple[str, str]]:
    """Return each command with what the page says that it prints."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [(command, output) for block in blocks for command, output in EXAMPLE.findall(block)]


def test_every_example_of_the_page_prints_what_it_says(
    redis_url: str, queue: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = 0
    for command, output in _examples():
        program, *arguments = shlex.split(command)
        if program == "cat":
            Path(arguments[0]).write_text(output)
        else:
            assert program == "clipqueue"
            assert invoke(*arguments, REDIS_URL=redis_url).output == output, command
            ran += 1
    assert ran == 8


def test_every_example_of_the_help_is_on_the_page() -> None:
    shown = re.findall(r"^ +(clipqueue enqueue .*?)(?:  .*)?$", invoke("enqueue", "--help").stdout, re.MULTILINE)
    assert len(shown) == 7
    assert set(shown) < {command for command, _ in _examples()}
