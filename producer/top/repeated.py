"""Calls a function again and again in a thread of its own, so that no server that hangs can hold up the keys."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_JOIN_S = 0.3


class Repeated:
    """The thread.

    Args:
        name: The name of the thread.
        act: What to call.
        pause_s: Returns the seconds until the next call.
        fail: Called with what `act` raises. It is not called again then.

    Attributes:
        is_paused: Whether it calls nothing until it is woken.
    """

    def __init__(
        self,
        name: str,
        act: Callable[[], object],
        pause_s: Callable[[], float],
        fail: Callable[[Exception], object],
    ) -> None:
        self.is_paused = False
        self._act = act
        self._pause_s = pause_s
        self._fail = fail
        self._woken = threading.Event()
        self._is_closed = False
        # A daemon: the program ends even while a server does not answer.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Call the function for the first time, and go on."""
        self._thread.start()

    def wake(self) -> None:
        """Call the function at once, also if it is paused."""
        self._woken.set()

    def close(self) -> None:
        """Call it no more. A call that runs may take a while to end; it is not waited for."""
        self._is_closed = True
        self._woken.set()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self._act()
            except Exception as exc:  # noqa: BLE001  (the thread's edge)
                if not self._is_closed:  # else its connection was closed while it waited for an answer
                    self._fail(exc)
                return
            self._wait()
            self._woken.clear()

    def _wait(self) -> None:
        while not self._woken.wait(None if self.is_paused else self._pause_s()):
            if not self.is_paused:  # else it was paused during this wait
                return
