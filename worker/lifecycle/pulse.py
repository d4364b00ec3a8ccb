"""The health file of a worker process: the process writes it every second, `python -m worker.health` reads it.

A process holds a lock on its file. The kernel releases the lock when the process ends, even by SIGKILL, so a file
without one is left over. The health check imports this module and must be quick: import only the standard library here.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
import time
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from worker.errors import HealthFileUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

SILENT_S = 30.0
"""A process that has not written its file for so many seconds is frozen or hangs."""

# Each write replaces the content as a whole, and no content is longer.
_FILE_BYTES = 4096
_MAX_NODE_CHARS = 255
_READS = 5


class _Content(TypedDict):
    """What a health file says.

    `beat_s` is the time of the last write on the clock of `time.monotonic`, None until the model is loaded. All
    processes of a machine share this clock. No change of the date moves it.
    """

    node: str
    beat_s: float | None
    problem: str


class Pulse:
    """The health file of this process.

    Args:
        node: The node name, for the messages of the health check.
        file: The path of the file; empty for one in the temporary folder that no other worker uses.
        clock: Returns seconds, as `time.monotonic` does.

    Raises:
        HealthFileUnavailable: The file cannot be written, or another living worker writes it.
    """

    def __init__(self, node: str, file: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._node = node[:_MAX_NODE_CHARS]
        self._clock = clock
        try:
            self._path = Path(file) if file else _open_folder() / f"{uuid.uuid4().hex}.health"
            if self._path.exists() and _is_held(self._path):
                raise HealthFileUnavailable(
                    f"another worker on this host has CLIPQUEUE_HEALTH_FILE={file}: give each worker its own file"
                )
            self._descriptor = self._create()
        except (OSError, ValueError) as exc:
            raise HealthFileUnavailable(
                f"the health file cannot be written: {exc}; set CLIPQUEUE_HEALTH_FILE to a path in a folder that the "
                "worker may write to"
            ) from None

    def beat(self, problem: str = "") -> None:
        """Write that this process runs and has loaded its model.

        Args:
            problem: Why the process is unhealthy all the same, for the operator.
        """
        self._write(self._descriptor, {"node": self._node, "beat_s": self._clock(), "problem": problem})

    def close(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _create(self) -> int:
        """Create the file and return its descriptor. It gets its name when it is locked and has its content."""
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, suffix=".new")
        with ExitStack() as on_failure:
            on_failure.callback(os.close, descriptor)
            on_failure.callback(os.unlink, name)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(descriptor, {"node": self._node, "beat_s": None, "problem": ""})
            Path(name).replace(self._path)
            on_failure.pop_all()
        return descriptor

    @staticmethod
    def _write(descriptor: int, content: _Content) -> None:
        os.pwrite(descriptor, json.dumps(content).encode().ljust(_FILE_BYTES), 0)


def find_problem(file: str = "", clock: Callable[[], float] = time.monotonic) -> str | None:
    """Return in one line why workers of this user on this host are unhealthy; None if they are healthy.

    Args:
        file: The health file of the worker in question. Empty for all workers that have no file of their own: at least
            one must run, and each must be healthy.
        clock: Returns seconds, as `time.monotonic` does.
    """
    try:
        paths = [Path(file)] if file else sorted(_folder().glob("*.health"))
        found = [content for path in paths if (content := _read_if_held(path))]
    except (OSError, ValueError) as exc:
        return f"the health file cannot be read: {exc}"
    if not found:
        return f"no worker of this user runs on this host: no living process holds {file or _folder() / '*.health'}"
    return "; ".join(filter(None, (_complaint(content, clock()) for content in found))) or None


def _complaint(content: _Content, now_s: float) -> str | None:
    node, beat_s = content["node"], content["beat_s"]
    if beat_s is None:
        return f"{node} has not loaded its model yet"
    if (silent_s := now_s - beat_s) > SILENT_S:
        return f"{node} is frozen or hangs: it has shown no sign of life for {silent_s:.0f} s"
    return f"{node}: {content['problem']}" if content["problem"] else None


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"clipqueue-{os.getuid()}"


def _open_folder() -> Path:
    """Return this user's folder for health files, without files that are left over."""
    folder = _folder()
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()  # everyone may create it, or a link in its place
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    for path in folder.glob("*.health"):
        with suppress(OSError):  # another worker that starts may have removed it
            if not _is_held(path):
                path.unlink()
    return folder


def _read_if_held(path: Path) -> _Content | None:
    """Return the content if a living process holds the file. Raises OSError and ValueError."""
    with suppress(FileNotFoundError):
        return _read(path) if _is_held(path) else None
    return None


def _is_held(path: Path) -> bool:
    """Return whether a living process holds the file. Raises OSError."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _read(path: Path) -> _Content:
    error: Exception = ValueError()
    for _ in range(_READS):
        try:
            content: Any = json.loads(path.read_bytes())
            return _Content(node=content["node"], beat_s=content["beat_s"], problem=content["problem"])
        except (ValueError, TypeError, KeyError) as exc:  # read during a write, it may be a mix of two contents
            error = exc
    raise ValueError(f"it has another content than a worker writes ({type(error).__name__})")
