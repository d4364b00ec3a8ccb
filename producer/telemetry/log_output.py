"""Writes the lines of the log in a thread of its own, so that a log call neither waits nor fails.

A pipe that nobody reads, such as that of a frozen log driver, blocks whoever writes to it, and a lock would make every
other thread wait too. So lines wait in a queue. If it is full, or the disk is, lines are dropped, and counted.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from queue import Empty, SimpleQueue

_MAX_WAITING = 4000  # lines
_MAX_BATCH = 500
_FLUSH_S = 2.0


class LogOutput(logging.Handler):
    """Writes to a file descriptor, which it does not close."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        # Its `put` may interrupt another one: Celery's signal handlers log.
        self._waiting: SimpleQueue[str | threading.Event] = SimpleQueue()
        self._refused = 0  # counted by those who log
        self._unwritten = self._told = 0  # counted by the thread
        self._is_torn = False
        threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Let the thread write a line. Formatted here, because what a record refers to may change or be large."""
        if self._waiting.qsize() < _MAX_WAITING:
            self._waiting.put(self._line(record))
        else:
            self._refused += 1

    def flush(self) -> None:
        """Wait until the lines so far are written, for at most two seconds. `logging.shutdown` calls it."""
        written = threading.Event()
        self._waiting.put(written)
        written.wait(_FLUSH_S)

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as exc:  # noqa: BLE001  (a wrong log call must not fail a job)
            place = f"{record.pathname}:{record.lineno}"
            return self.format(_warning(f"the log call at {place} cannot be written: {type(exc).__name__}"))

    def _write_all(self) -> None:
        while True:
            lines, flushed = self._take()
            if lines:
                self._write("".join(f"{line}\n" for line in lines))
            for one in flushed:
                one.set()

    def _take(self) -> tuple[list[str], list[threading.Event]]:
        """Wait for a line, and take all that wait by then: one write for each would cost more than the lines."""
        taken = [self._waiting.get()]
        try:
            while len(taken) < _MAX_BATCH:
                taken.append(self._waiting.get_nowait())
        except Empty:
            pass
        return [one for one in taken if isinstance(one, str)], [one for one in taken if not isinstance(one, str)]

    def _write(self, text: str) -> None:
        # A line that was cut, because the disk was full, must not spoil the next one.
        left = (b"\n" if self._is_torn else b"") + text.encode("utf-8", "backslashreplace")
        try:
            while left:
                left = left[self._write_some(left) :]
        except OSError:
            self._is_torn = True
            self._unwritten += min(left.count(b"\n"), text.count("\n"))
            return
        self._is_torn = False
        self._tell_dropped()

    def _write_some(self, content: bytes) -> int:
        """Write directly: at the end of the process, Python waits for the lock of a stream that is being written to."""
        try:
            return os.write(self._descriptor, content)
        except BlockingIOError:  # another process has made the pipe that it shares non-blocking
            select.select([], [self._descriptor], [])
            return 0

    def _tell_dropped(self) -> None:
        dropped = self._refused + self._unwritten
        if dropped > self._told:
            count, self._told = dropped - self._told, dropped
            self._write(
                self._line(_warning(f"{count} log lines were dropped: nothing read the output, or it was full")) + "\n"
            )


def _warning(message: str) -> logging.LogRecord:
    return logging.makeLogRecord({"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": message})
