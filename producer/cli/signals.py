"""Ends `clipqueue up` and `clipqueue demo` cleanly when a signal stops them."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

# SIGHUP is sent when the terminal is closed. Windows has neither it nor SIGQUIT.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
_SIGNALS: tuple[signal.Signals, ...] = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


@contextmanager
def until_stopped() -> Iterator[None]:
    """Run a block until it ends or a signal stops it.

    After a signal, the block's cleanup runs, "stopped" is printed, and the code after the block continues.
    """
    handled = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores SIGHUP

    def stop(*_: object) -> NoReturn:
        for number in handled:  # a second signal must not interrupt the cleanup
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
