"""Flower's configuration, which the Procfile and the image use: a password, the read-only mode and the port."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flower import options as _define_the_options  # noqa: F401
from tornado.options import options

if TYPE_CHECKING:
    from producer.local.stack import Stack

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("FLOWER_") or name == "PORT":
            monkeypatch.delenv(name)


def read(monkeypatch: pytest.MonkeyPatch, basic_auth: list[str], auth: str = "", **env: str) -> dict[str, Any]:
    """Return the options that the file sets, when Flower has read these from its variables and its command line."""
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
    assert "port" not in set_by_file


def test_the_platform_s_port_and_flower_s_own_variables_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, ["user:password"], PORT="8080")["port"] == 8080
    own = {"FLOWER_PORT": "5555", "FLOWER_READ_ONLY": "false", "FLOWER_PURGE_OFFLINE_WORKERS": "60"}
    assert not {"port", "read_only", "purge_offline_workers"} & read(monkeypatch, ["user:password"], **own).keys()


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
