"""The terminal: whether there is one, what it can show, and that it is left as it was found."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from textual.app import App

# Windows has neither; its terminals are all alike.
if sys.platform != "win32":
    import curses
    import termios

_DUMB = {"", "dumb", "unknown"}
_COLOURS = 8
# What Textual's driver has switched on, in the order in which it switches it off: bracketed paste, line wrap, keys,
# the other screen, the cursor, the focus.
_RESTORE = b"\x1b[?2004l\x1b[?7h\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_PATIENCE_S = 2.0
_CHECK_S = 1.0
_GONE = 129  # as after a SIGHUP
# What Python puts there itself if the locale is C (PEP 538), although the terminal may know only ASCII.
_COERCED = "C.UTF-8"


def obstacle(environment: Mapping[str, str]) -> str | None:
    """Return why nothing can be drawn live; None if it can."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        return "this is no terminal"
    if sys.platform == "win32":
        return None
    name = environment.get("TERM", "")
    if name in _DUMB or _capability(name, "cup") is False:
        return f"a terminal with TERM={name} cannot move its cursor"
    return None


def has_colours(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal has colours, and the user wants them: https://no-color.org."""
    return not environment.get("NO_COLOR") and _capability(environment.get("TERM", ""), "colors") is not False


def is_ascii_only(environment: Mapping[str, str]) -> bool:
    """Return whether the locale has only ASCII. The first of the variables that is set says so."""
    if sys.platform == "win32":
        return False
    coerced = environment.get("LC_CTYPE") == _COERCED and not environment.get("LC_ALL")
    names = ("LC_ALL", "LANG") if coerced else ("LC_ALL", "LC_CTYPE", "LANG")
    locale = next((environment[name] for name in names if environment.get(name)), "C")
    return "utf8" not in locale.lower().replace("-", "")


def run(app: App[int]) -> int:
    """Run the program until the user or a signal ends it, leave the terminal as it was, and return the exit code."""
    with _kept_terminal() as rescue:
        return asyncio.run(_run(app, rescue))


async def _run(app: App[int], rescue: _Rescue) -> int:
    loop = asyncio.get_running_loop()

    def stop(number: int, _: object) -> None:
        rescue.begin(128 + number)
        loop.call_soon_threadsafe(app.exit)

    # Not those of the loop, which cannot call them while it waits for the terminal.
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, stop)
    _check_terminal(loop, rescue)
    code = await app.run_async(mouse=False)
    rescue.is_over = True
    return rescue.exit_code or app.return_code or code or 0


def _check_terminal(loop: asyncio.AbstractEventLoop, rescue: _Rescue) -> None:
    """End the program if the terminal is gone. Without a SIGHUP, as under nohup, it would run on for nobody."""
    if rescue.is_gone():
        os._exit(_GONE)
    loop.call_later(_CHECK_S, _check_terminal, loop, rescue)


class _Rescue:
    """Ends the program if it does not end by itself: Textual waits for a terminal that takes no more characters.

    Attributes:
        exit_code: The exit code after a signal; 0 without one.
        is_over: The program has ended.
    """

    def __init__(self, before: Any) -> None:
        self.exit_code = 0
        self.is_over = False
        self._before = before

    def is_gone(self) -> bool:
        """Return whether the terminal is gone."""
        if sys.platform == "win32" or self._before is None:
            return False
        try:
            termios.tcgetattr(0)
        except (termios.error, OSError):
            return True
        return False

    def begin(self, exit_code: int) -> None:
        """Give the program a moment to end."""
        self.exit_code = exit_code
        if self.is_gone():
            os._exit(exit_code)
        timer = threading.Timer(_PATIENCE_S, self._end)
        timer.daemon = True
        timer.start()

    def restore(self) -> None:
        """Set the terminal's modes as they were."""
        if sys.platform != "win32" and self._before is not None:
            with suppress(termios.error, OSError):
                termios.tcsetattr(0, termios.TCSANOW, self._before)

    def _end(self) -> None:
        if self.is_over:
            return
        self.restore()
        if sys.platform != "win32":
            with suppress(OSError):
                os.set_blocking(2, False)
                os.write(2, _RESTORE)
                os.set_blocking(2, True)
        os._exit(self.exit_code)


@contextmanager
def _kept_terminal() -> Iterator[_Rescue]:
    rescue = _Rescue(_read_modes())
    try:
        yield rescue
    finally:
        rescue.restore()


def _read_modes() -> Any:
    if sys.platform == "win32" or not os.isatty(0):
        return None
    return termios.tcgetattr(0)


def _capability(name: str, capability: str) -> bool | None:
    """Return whether the terminal has colours (`colors`) or a cursor to move (`cup`); None if nobody knows it here."""
    if sys.platform == "win32":
        return None
    try:
        curses.setupterm(name)
    except (curses.error, TypeError):
        return None
    if capability == "colors":
        return curses.tigetnum(capability) >= _COLOURS
    return curses.tigetstr(capability) is not None
