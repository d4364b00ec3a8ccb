"""The command `clipqueue`: help, exit codes and errors that all commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from producer.cli.main import cli, main
from tests.support.commands import invoke, run

if TYPE_CHECKING:
    from producer.local.stack import Stack


@pytest.mark.parametrize("command", [None, *cli.commands])
def test_every_command_has_help(command: str | None) -> None:
    done = invoke(*[command] if command else [], "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: clipqueue")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["enqueue"], "Give either URLs or --from FILE"),
        (["enqueue", "http://host/", "--from", "-"], "Give either URLs or --from FILE"),
        (["enqueue", "http://host/", "http://host/", "--id", "a"], "--id needs exactly one URL"),
        (["enqueue", "--from", "/no/such/file"], "/no/such/file"),
        (["enqueue", "http://host/", "--columns", "url"], "--columns and --delimiter need --from FILE"),
        (["enqueue", "--from", "-", "--columns", "sku,url"], "no column is the id"),
        (["enqueue", "--from", "-", "--delimiter", "ab"], "give one character"),
        (["enqueue", "--from", "-", "--object-id", "--id-type", "uuid"], "contradict each other"),
        (["status", "--id-type", "date"], "--id-type"),
        (["parked", "list", "--limit", "-1"], "--limit"),
        (["up", "--redis-port", "99999"], "99999"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str], complaint: str) -> None:
    done = invoke(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_missing_settings_are_named() -> None:
    assert "REDIS_URL is not set" in invoke("enqueue", "http://host/").stderr
    assert "MONGODB_URI is not set" in invoke("status", "a").stderr


def test_an_unavailable_server_is_a_message_without_a_traceback() -> None:
    done = invoke("enqueue", "http://host/", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert done.returncode == 1
    assert done.stderr.startswith("clipqueue: Redis at 127.0.0.1:1")
    assert "hunter2" not in done.stderr
    unreadable = invoke("status", "a", MONGODB_URI="mongodb://user:hunter2@host:port/")
    assert (unreadable.returncode, "hunter2" in unreadable.stderr) == (3, False)
    assert "MONGODB_URI is invalid" in unreadable.stderr
    misnamed = invoke("status", "a", MONGODB_URI="mongodb://127.0.0.1:1/", CLIPQUEUE_COLLECTION="a$b")
    assert misnamed.stderr == "clipqueue: 'a$b' is not a valid collection name\n"


def test_the_module_is_the_command() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == invoke("--version").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(("arguments", "exit_code"), [(["failed"], 1), (["status", "a"], 3), (["--help"], 1)])
def test_output_that_cannot_be_written_is_a_message(
    arguments: list[str],
    exit_code: int,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is no answer either: the exit code of a question is the one of "cannot tell"."""
    monkeypatch.setenv("MONGODB_URI", stack.mongodb_uri)
    monkeypatch.setattr(sys, "argv", ["clipqueue", *arguments])
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == exit_code
    assert capsys.readouterr().err == "clipqueue: the output cannot be written: No space left on device\n"
