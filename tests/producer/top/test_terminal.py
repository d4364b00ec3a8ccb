"""`clipqueue top` in a real terminal: what it sends there, how it ends, and where there is none."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.producer.top.conftest import UTF_8, Document, Program, failure, write_figures
from tests.support.commands import COMMAND, invoke
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection


def environment(program: Program, env: dict[str, str]) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM", "LC_CTYPE")}
    servers = {"REDIS_URL": program.redis_url, "MONGODB_URI": program.mongodb_uri or ""}
    return {**bare, **UTF_8, "TERM": "xterm-256color", **servers, "CLIPQUEUE_COLLECTION": program.collection, **env}


def open_terminal(program: Program, columns: int = 80, rows: int = 24, env: dict[str, str] | None = None) -> Terminal:
    return Terminal([*COMMAND, "top", "--every", "1"], environment(program, env or {}), columns, rows)


def is_restored(terminal: Terminal) -> bool:
    """Return whether the modes are as before, and the other screen, the cursor, paste mode and the keys are."""
    end = terminal.output[-200:].decode()
    sequences = ("\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l", "\x1b[<u")
    is_clean = "Traceback" not in terminal.output.decode()
    return is_clean and terminal.modes() == terminal.modes_before and all(sequence in end for sequence in sequences)


def test_it_sends_few_bytes_follows_the_size_and_ends_with_ctrl_c(
    program: Program, queue: redis.Redis, images: Collection[Document]
) -> None:
    write_figures(queue, "w-1", 0)
    images.insert_one(failure("photo-1"))
    with open_terminal(program) as terminal:
        shown = terminal.wait_for("http_404").splitlines()
        assert terminal.modes() != terminal.modes_before
        assert shown[0].startswith(" clipqueue top  127.0.0.1:")
        assert shown[23].startswith("q quit  ? help")
        assert b"\x1b[?1000h" not in terminal.output  # the mouse still selects text
        queue.lpush("images", "x")
        terminal.wait_for("waiting 1")
        # The clock, and the ages of the heartbeat and the failure. The screen has 1,920 cells.
        bursts = terminal.bytes_of(3)
        assert bursts
        assert max(bursts) < 700
        terminal.resize(132, 12)
        assert len(terminal.wait_for("↑↓ choose").splitlines()) == 12
        terminal.press("\x03")
        assert terminal.wait() == 0
        assert is_restored(terminal)


# A locale without UTF-8, and signals, are tested on the way: a process of its own costs seconds.
@pytest.mark.parametrize(
    ("env", "ending"), [({"NO_COLOR": "1"}, signal.SIGTERM), ({"TERM": "vt100", "LC_ALL": "C"}, signal.SIGHUP)]
)
def test_without_colours_all_can_be_read_and_signals_leave_the_terminal_as_before(
    program: Program, queue: redis.Redis, images: Collection[Document], env: dict[str, str], ending: signal.Signals
) -> None:
    images.insert_one(failure("photo-1"))
    with open_terminal(program, env=env) as terminal:
        terminal.wait_for("http_404")
        terminal.press("\t")
        assert ">http_404" in terminal.wait_for("newest: photo-1")
        assert terminal.styles == {"default"}
        assert terminal.text.isascii() == ("LC_ALL" in env)
        terminal.process.send_signal(ending)
        assert terminal.wait() == 128 + ending
        assert is_restored(terminal)


def test_it_ends_when_the_terminal_is_closed(program: Program, queue: redis.Redis) -> None:
    with open_terminal(program) as terminal:
        terminal.wait_for("no worker is alive")
        terminal.close()
        assert terminal.process.wait(60) == 128 + signal.SIGHUP


def test_sigterm_ends_it_while_the_terminal_takes_no_more_characters(program: Program, queue: redis.Redis) -> None:
    with open_terminal(program, 200, 60) as terminal:
        terminal.wait_for("no worker is alive")
        # Each new size draws all of the screen, and nothing is read: the terminal is soon full.
        wait_for(terminal.is_full_after_a_resize, "the terminal to be full")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(60) == 128 + signal.SIGTERM
        assert terminal.modes() == terminal.modes_before


def test_without_a_terminal_the_figures_are_printed_once(program: Program, queue: redis.Redis) -> None:
    queue.lpush("images", "x")
    completed = invoke("top", REDIS_URL=program.redis_url)
    assert completed.returncode == 0
    assert "waiting     1" in completed.stdout
    assert completed.stderr.startswith("clipqueue: this is no terminal, so this was printed once")
    assert "\x1b" not in completed.stdout + completed.stderr


def test_in_a_dumb_terminal_the_figures_are_printed_once(program: Program, queue: redis.Redis) -> None:
    with open_terminal(program, env={"TERM": "dumb"}) as terminal:
        assert terminal.wait() == 0
        assert "TERM=dumb cannot move its cursor" in terminal.text.replace("\n", "")
        assert "waiting     0" in terminal.text


def test_a_redis_that_does_not_answer_is_a_message() -> None:
    completed = invoke("top", REDIS_URL="redis://:hunter2@127.0.0.1:1/0")
    assert completed.returncode == 3
    assert "Redis at 127.0.0.1:1 did not return" in completed.stderr
    assert "hunter2" not in completed.stderr
