"""Starts child processes that cannot outlive this process, even if it is killed with SIGKILL.

The first call also starts a guardian: a small process that reads a pipe whose write end only this process keeps open.
However this process ends, the kernel closes the pipe. The guardian then stops each process that is still running:
the last one started first, with SIGTERM, and with SIGKILL once GRACE_S have passed in total.

The guardian runs this file alone, without site-packages: import only the standard library here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import IO, Any

GRACE_S = 10.0
"""How long all processes together may take to handle SIGTERM before they are killed, in seconds."""

# The shell reports its pid before it becomes the command, which keeps that pid. Until then the shell holds the pipe
# open too, so the guardian reads the pid even if this process is killed in between.
_REPORT_PID_AND_EXEC = 'echo $$ >&0 && exec "$@" </dev/null'

_lock = threading.Lock()
_guardian: subprocess.Popen[bytes] | None = None


def start_guarded(command: list[str], **popen_options: Any) -> subprocess.Popen[Any]:
    """Start `command` in a session of its own; it is stopped when this process ends, for any reason.

    When the guardian stops it, the rest of its process group is killed too. In normal operation, stop it yourself.

    Args:
        command: The program, found on PATH, and its arguments. Its standard input is /dev/null.
        popen_options: Options of `subprocess.Popen`, other than `stdin`, `shell` and `start_new_session`.

    Returns:
        The process; its pid is that of `command`.
    """
    shell = ["/bin/sh", "-c", _REPORT_PID_AND_EXEC, "sh", *command]
    return subprocess.Popen(shell, stdin=_open_pipe(), start_new_session=True, **popen_options)


def guardian_runs() -> bool:
    """Return whether the guardian is running. Without it, nothing stops the others if this process is killed."""
    return _guardian is not None and _guardian.poll() is None


def _open_pipe() -> IO[bytes]:
    """Return the pipe to the guardian, which the first call starts."""
    global _guardian  # noqa: PLW0603  (one guardian for each process; the pipe must never be garbage-collected)
    with _lock:
        if _guardian is None:
            _guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            atexit.register(_close, _guardian)
        assert _guardian.stdin is not None  # noqa: S101  (for mypy)
        return _guardian.stdin


def _close(guardian: subprocess.Popen[bytes]) -> None:
    """Wait until the guardian has stopped what is left, so that nothing outlives a normal exit either."""
    assert guardian.stdin is not None  # noqa: S101  (for mypy)
    guardian.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        guardian.wait(2 * GRACE_S)


class _Group:
    """A process group, known by the pid of its first process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._pidfd: int | None = None
        # A pid is reused after its process was reaped; a pidfd is not. macOS has none.
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                self._pidfd = os.pidfd_open(pid)

    def is_running(self, timeout_s: float = 0) -> bool:
        """Return whether the first process is still running after at most `timeout_s` seconds."""
        if self._pidfd is not None:
            poll = select.poll()  # `select.select` raises ValueError for a descriptor of 1024 or more
            poll.register(self._pidfd, select.POLLIN)
            return not poll.poll(1000 * timeout_s)
        deadline = time.monotonic() + timeout_s
        while _exists(self._pid):
            if time.monotonic() >= deadline:
                return True
            time.sleep(0.05)
        return False

    def stop(self, deadline: float) -> None:
        """Send SIGTERM to the group, and SIGKILL when its first process has ended or the deadline has passed."""
        for number in (signal.SIGTERM, signal.SIGCONT):  # a frozen process handles SIGTERM only once it continues
            self._send(number)
        self.is_running(max(0, deadline - time.monotonic()))
        self._send(signal.SIGKILL)

    def close(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _watch(pids: IO[str]) -> None:
    """Read one pid a line until the pipe is closed, then stop the groups that are still running."""
    groups: list[_Group] = []
    for line in pids:
        groups = [*_running_groups(groups), _Group(int(line))]
    deadline = time.monotonic() + GRACE_S
    for group in reversed(_running_groups(groups)):
        group.stop(deadline)


def _running_groups(groups: list[_Group]) -> list[_Group]:
    running = [group for group in groups if group.is_running()]
    for group in set(groups) - set(running):
        group.close()
    return running


if __name__ == "__main__":
    for _number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(_number, signal.SIG_IGN)
    _watch(sys.stdin)
