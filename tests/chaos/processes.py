"""One process of the cluster. It can be killed, stopped, frozen, and started again on the same files."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from producer.local.guardian import start_guarded
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
_START_S = 60.0
_NO_LIMIT = resource.RLIM_INFINITY
# A write beyond the size limit then fails, as on a full disk. By default the signal SIGXFSZ would kill the process.
_IGNORE_SIGXFSZ = ["/bin/sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]


class ManagedProcess:
    """A process that can be started many times; each start has its own log file. It ends with the test run.

    Args:
        name: The name of its log files: `name.1.log`, `name.2.log`, ...
        command: Returns the command line; called for each start.
        folder: The folder of the logs.
        is_ready: Returns whether the process is ready, given the log of the last start.
        env: The environment of the process.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], list[str]],
        folder: Path,
        *,
        is_ready: Callable[[Path], bool],
        env: Mapping[str, str],
    ) -> None:
        self.name = name
        self.starts = 0
        self._command = command
        self._folder = folder
        self._is_ready = is_ready
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def log(self) -> Path:
        """The log file of the last start."""
        return self._folder / f"{self.name}.{self.starts}.log"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start the process and, by default, wait until it is ready."""
        assert not self.is_running, f"{self.name} is already running"
        self.starts += 1
        with self.log.open("ab") as log:
            command = [*_IGNORE_SIGXFSZ, *self._command()]
            self._process = start_guarded(command, cwd=ROOT, env=self._env, stdout=log, stderr=log)
        if wait:
            self.await_ready()

    def await_ready(self) -> None:
        """Wait until the process is ready; fail with its log if it exited."""

        def is_ready() -> bool:
            assert self.is_running, f"{self.name} exited:\n{self.log.read_text(errors='replace')[-3000:]}"
            return self._is_ready(self.log)

        wait_for(is_ready, f"{self.name} to be ready ({self.log})", _START_S)

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process is running."""
        if self.is_running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, which also ends a frozen process, and wait for the end."""
        self.send(signal.SIGKILL)
        self.wait(_START_S)

    def stop(self, seconds: float = _START_S) -> int:
        """Send SIGTERM and return the exit code."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Wait for the end of the process and return its exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def restart(self) -> None:
        """Kill the process and start it again."""
        self.kill()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze the process (SIGSTOP) until the block ends: its connections stay open but do not answer."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """Make every write to a file fail until the block ends. Existing files stay as they are."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (1, _NO_LIMIT))
        try:
            yield
        finally:
            if self.is_running:
                resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (_NO_LIMIT, _NO_LIMIT))

    def end(self) -> None:
        """Kill the process if it was ever started."""
        if self._process is not None:
            self.kill()
