"""The program: it reads in threads of its own, draws what was read, and takes the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.binding import Binding
from textual.message import Message

from producer.contract.errors import ClipqueueError
from producer.top.queue import QueueWatch
from producer.top.repeated import Repeated
from producer.top.retry import Retry
from producer.top.screens import OverviewScreen
from producer.top.workers import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.client.broker import Broker
    from producer.top.failures import FailureReader
    from producer.top.retry import Asked, Servers
    from producer.top.state import Code, State

_CLOCK_S = 1.0


class Read(Message):
    """Something was read, or could not be; from a thread."""

    def __init__(self, take: Callable[[], object]) -> None:
        super().__init__()
        self.take = take


class Top(App[int]):
    """The program.

    Args:
        state: What is shown; it is filled from here on.
        broker: The Redis of the queue.
        failures: The failures; None if there is no MongoDB.
        servers: Where a retry connects to; None if there is no MongoDB.
    """

    ENABLE_COMMAND_PALETTE = False
    # No colours of its own: those of the terminal, and few bytes.
    CSS = "Screen { background: ansi_default; color: ansi_default; overflow: hidden; }"
    BINDINGS: ClassVar[list[Any]] = [
        Binding("q,ctrl+c,ctrl+q", "quit_program", priority=True),
        Binding("ctrl+z", "suspend_process", priority=True),
    ]

    def __init__(
        self, state: State, broker: Broker, failures: FailureReader | None = None, servers: Servers | None = None
    ) -> None:
        super().__init__(ansi_color=True)
        self.state = state
        self.retry: Retry | None = None
        self._queue = QueueWatch(broker, state.every_s)
        self._failures = failures
        self._servers = servers
        self._queue_thread = Repeated("queue", self._read_queue, lambda: self._queue.every_s, self._crash)
        self._failures_thread = (
            Repeated("failures", self._read_failures, failures.pause_s, self._crash) if failures else None
        )

    def on_mount(self) -> None:
        """Show the first screen, and begin to read."""
        self.push_screen(OverviewScreen(self.state))
        # What is drawn says how old it is, also while no server answers.
        self.set_interval(_CLOCK_S, self.redraw)
        for thread in self._threads():
            thread.start()

    def on_unmount(self) -> None:
        """Read no more."""
        for thread in self._threads():
            thread.close()

    def on_read(self, message: Read) -> None:
        """Take what a thread has read."""
        message.take()
        self.redraw()

    def redraw(self) -> None:
        """Draw the screen on top. Only what has changed is sent."""
        draw = getattr(self.screen, "draw", None)
        if draw is not None:
            draw()

    def toggle_pause(self) -> None:
        """Read nothing, or go on."""
        self.state.is_paused = not self.state.is_paused
        for thread in self._threads():
            thread.is_paused = self.state.is_paused
            if not self.state.is_paused:
                thread.wake()
        self.redraw()

    def look_into(self, code: Code | None) -> None:
        """Read the newest failures of a code too, from now on; with None, of none."""
        if self._failures and self._failures_thread:
            self._failures.looked_into = [code.raw_code] if code else []
            if code:
                self._failures_thread.wake()

    def begin_retry(self, asked: Asked) -> None:
        """Enqueue failures again, unless another retry still runs."""
        if self._servers is None:
            return
        if self.retry and self.retry.is_running:
            self.state.note = "another retry still runs: wait for its end"
        else:
            self.state.note = f"retrying {asked.subject}"
            self.retry = Retry(self._servers, asked, self._tell_retry)
            self.retry.start()
        self.redraw()

    def action_quit_program(self) -> None:
        """End the program."""
        self.exit(0)

    def _threads(self) -> list[Repeated]:
        return [thread for thread in (self._queue_thread, self._failures_thread) if thread]

    def _crash(self, exc: Exception) -> None:
        """End the program, with the traceback of what a thread raised: a bug."""

        def take() -> None:
            raise exc

        self.post_message(Read(take))

    def _tell_retry(self, text: str) -> None:
        def take() -> None:
            self.state.note = self.state.letters.inert(text)

        self.post_message(Read(take))

    def _read_queue(self) -> None:
        try:
            snapshot = self._queue.read()
        except ClipqueueError as exc:
            why = str(exc)
            self.post_message(Read(lambda: self.state.note_trouble(why)))
        else:
            rows = rows_of(snapshot, self.state.letters)
            every_s = self._queue.every_s
            self.post_message(Read(lambda: self.state.take(snapshot, rows, every_s)))

    def _read_failures(self) -> None:
        if self._failures is None:
            return
        try:
            found = self._failures.read()
        except ClipqueueError as exc:
            why = str(exc)
            self.post_message(Read(lambda: self.state.note_mongodb_trouble(why)))
        else:
            self.post_message(Read(lambda: self.state.take_failures(found)))
