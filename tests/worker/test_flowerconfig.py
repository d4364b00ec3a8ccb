"""Flower's configuration, which the Procfile and the image use: a password, limits, the tasks' file and the port."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flower import options as _define_the_options  # noqa: F401
from flower.views.tasks import TASK_COLUMNS
from tornado.options import options

if TYPE_CHECKING:
    from producer.local.stack import Stack

ROOT = Path(__file__).parents[2]
# The options that the file sets, but for the port.
SET = {
    *("read_only", "max_tasks", "max_workers", "purge_offline_workers", "enable_events", "tasks_columns"),
    *("db", "persistent", "state_save_interval"),
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("FLOWER_") or name == "PORT":
            monkeypatch.delenv(name)


def read(monkeypatch: pytest.MonkeyPatch, basic_auth: list[str], auth: str = "", **env: str) -> dict[str, Any]:
    """Return the options that the file sets, when Flower has read these from its variables and its command line.

    The file's file of the tasks is in the folder of the process, where nothing is written yet.
    """
    monkeypatch.setattr(options.mockable(), "basic_auth", basic_auth)
    monkeypatch.setattr(options.mockable(), "auth", auth)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "worker" / "flowerconfig.py"))


@pytest.mark.parametrize("basic_auth", [[], [""], ["user"], ["user:"], [":password"], ["user:password", ""]])
def test_flower_does_not_start_without_a_password(basic_auth: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="set FLOWER_BASIC_AUTH to user:password"):
        read(monkeypatch, basic_auth)


@pytest.mark.parametrize(("auth", "env"), [(".*@example[.]com", {}), ("", {"FLOWER_UNAUTHENTICATED_API": "true"})])
def test_an_incomplete_password_is_refused_even_if_none_is_needed(
    auth: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="set FLOWER_BASIC_AUTH to user:password"):
        read(monkeypatch, ["user:"], auth, **env)


@pytest.mark.parametrize(
    ("basic_auth", "auth", "env"),
    [
        (["user:password"], "", {}),
        (["user:password", "other:pass:word"], "", {}),
        ([], ".*@example[.]com", {}),
        ([], "", {"FLOWER_UNAUTHENTICATED_API": "true"}),
    ],
)
def test_flower_starts_with_a_password_with_oauth_or_open_on_purpose(
    basic_auth: list[str], auth: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_by_file = read(monkeypatch, basic_auth, auth, **env)
    assert (set_by_file["read_only"], set_by_file["purge_offline_workers"]) == (True, 3600)
    assert (set_by_file["max_tasks"], set_by_file["max_workers"]) == (20_000, 1000)
    assert (set_by_file["db"], set_by_file["persistent"]) == ("flower-state", True)
    assert "port" not in set_by_file
    assert all(name in TASK_COLUMNS for name in set_by_file["tasks_columns"].split(","))
    defined = {name.replace("-", "_") for name in options}
    assert defined & set_by_file.keys() == SET, "each other name, such as `logging`, is an option of Flower's too"


def test_the_platform_s_port_and_flower_s_own_variables_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, ["user:password"], PORT="8080")["port"] == 8080
    own = {f"FLOWER_{name.upper()}": "1" for name in (*SET, "port")}
    assert not {*SET, "port"} & read(monkeypatch, ["user:password"], **own).keys()


def test_a_folder_that_cannot_be_written_to_is_named_and_flower_starts_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on Railway with a volume, which belongs to root. The tests run as root too, hence a folder that is missing."""
    missing = tmp_path / "missing"
    found = read(monkeypatch, ["user:password"], FLOWER_DB=str(missing / "flower"))
    assert found["persistent"] is False
    assert "db" not in found
    (line,) = caplog.messages
    assert line == f"Flower forgets its tasks when it ends: it cannot write to {missing} (No such file or directory)"


@pytest.mark.parametrize("port", ["http", "0", "-1", "65536", "99999", "8080 ", "\N{SUPERSCRIPT TWO}"])
def test_a_port_that_is_none_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system would take 99999 as 34463."""
    with pytest.raises(SystemExit, match="PORT must be a number from 1 to 65535"):
        read(monkeypatch, ["user:password"], PORT=port)


def test_the_command_of_the_procfile_says_what_is_missing(stack: Stack) -> None:
    """In a process of its own: Flower runs the file, and its command may swallow an exit."""
    (command,) = [line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith("flower: ")]
    program, *arguments = command.removeprefix("flower: ").split()
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=ROOT,
        env={**os.environ, **stack.environment(), "FLOWER_ADDRESS": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("Set FLOWER_UNAUTHENTICATED_API=true if only you can reach it.")
    assert "Traceback" not in done.stderr
