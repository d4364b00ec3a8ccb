"""Runs a command in a terminal: a pty, with pyte as what draws the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import pyte

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUIET_S = 0.2


class Terminal:
    """A terminal with one command in it.

    Args:
        command: The command.
        env: Its environment.
        columns: The width.
        rows: The height.

    Attributes:
        process: The command.
        output: All bytes that it has written.
    """

    def __init__(self, command: list[str], env: Mapping[str, str], columns: int = 80, rows: int = 24) -> None:
        self.output = b""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._master, self._slave = pty.openpty()
        self._set_size(columns, rows)
        self.modes_before = self.modes()
        # The shell leads a session, so the first terminal that it opens is its own, and tells it when it is closed.
        opening = ["/bin/sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(self._slave), *command]
        self.process = subprocess.Popen(opening, env=dict(env), start_new_session=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self._master, self._slave):
            with suppress(OSError):
                os.close(descriptor)

    @property
    def text(self) -> str:
        """The screen."""
        self._read()
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def styles(self) -> set[str]:
        """The colours on the screen."""
        self._read()
        rows = self._screen.buffer.values()
        return {color for row in rows for char in row.values() for color in (char.fg, char.bg)}

    def modes(self) -> list[Any]:
        """Return the modes of the terminal."""
        return termios.tcgetattr(self._slave)

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> str:
        """Wait until the screen shows a text, and return the screen."""
        try:
            wait_for(lambda: text in self.text or self.process.poll() is not None, repr(text))
        except AssertionError as exc:
            raise AssertionError(f"{exc} on this screen:\n{self.text}") from None
        assert text in self.text, f"the command has ended with {self.process.returncode}:\n{self.text}"
        return self.text

    def wait(self) -> int:
        """Wait until the command has ended, and return its exit code."""
        wait_for(lambda: bool(self.text) and self.process.poll() is not None, "the command to end")
        self._read()
        return int(self.process.returncode)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, and tell the command."""
        self._read()
        self._screen.resize(rows, columns)
        self._set_size(columns, rows)
        self.process.send_signal(signal.SIGWINCH)

    def is_full_after_a_resize(self) -> bool:
        """Give the terminal another size, and return whether the command can write nothing more, as nothing is read."""
        rows, columns = struct.unpack("HHHH", fcntl.ioctl(self._slave, termios.TIOCGWINSZ, b"\0" * 8))[:2]
        self._set_size(columns - 1, rows)
        self.process.send_signal(signal.SIGWINCH)
        return not select.select([], [self._slave], [], 0)[1]

    def close(self) -> None:
        """Close the terminal, as when the window or the ssh connection is closed."""
        os.close(self._slave)
        os.close(self._master)

    def bytes_of(self, seconds: float) -> list[int]:
        """Return how many bytes came in each burst of output within some seconds."""
        self._read()
        bursts, end = [0], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            before = len(self.output)
            if select.select([self._master], [], [], min(_QUIET_S, left))[0]:
                self._read()
                bursts[-1] += len(self.output) - before
            elif bursts[-1]:
                bursts.append(0)
        return [burst for burst in bursts if burst]

    def _read(self) -> None:
        while select.select([self._master], [], [], 0)[0]:
            try:
                chunk = os.read(self._master, 65_536)
            except OSError:  # all of the command's ends are closed
                return
            self.output += chunk
            self._stream.feed(chunk)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
