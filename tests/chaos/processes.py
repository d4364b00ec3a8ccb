"""One process of the cluster: started, killed, told to stop, frozen and woken, and started again on the same files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
_START_S = 60.0
_NO_LIMIT = resource.RLIM_INFINITY


class ManagedProcess:
    """A process that may end and be started again. Each start logs to a file of its own. Start it in the main thread.

    Args:
        name: Of its log files: `name.1.log`, `name.2.log`, ...
        command: Returns the command line; asked at each start.
        folder: Where the logs go.
        is_ready: Whether it does its work already, given the log of this start.
        env: Its environment.
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
        """The log of the last start."""
        return self._folder / f"{self.name}.{self.starts}.log"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it is ready unless told not to."""
        assert not self.runs, f"{self.name} runs already"
        self.starts += 1
        tied = [sys.executable, "-m", "tests.chaos.tied", str(os.getpid()), *self._command()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tied,
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the test run, which then ends its parts
            )
        if wait:
            self.await_ready()

    def await_ready(self) -> None:
        """Wait until it does its work; fail with its log if it ended."""

        def ready() -> bool:
            assert self.runs, f"{self.name} ended by itself:\n{self.log.read_text(errors='replace')[-3000:]}"
            return self._is_ready(self.log)

        wait_for(ready, f"{self.name} to be ready ({self.log})", _START_S)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.runs:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it with -9, also while it is frozen."""
        self.send(signal.SIGKILL)
        self.wait(_START_S)

    def stop(self, seconds: float = _START_S) -> int:
        """Tell it to stop (SIGTERM), and return its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Wait for its end, and return its exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def restart(self) -> None:
        """Kill it with -9 and start it again."""
        self.kill()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it (SIGSTOP) until the block ends: its connections stay open, and nothing answers."""
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    @contextmanager
    def disk_full(self) -> Iterator[None]:
        """Let it write to no file until the block ends. What it has written stays."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (1, _NO_LIMIT))
        try:
            yield
        finally:
            if self.runs:
                resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (_NO_LIMIT, _NO_LIMIT))

    def end(self) -> None:
        """Make sure that it runs no more."""
        if self._process is not None:
            self.kill()
