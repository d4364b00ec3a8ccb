"""The health file of a worker process: the process writes it every second, and worker/health.py reads it.

A process holds a lock on its file. The kernel releases the lock when the process ends, even by SIGKILL, so a file
without one is left over.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import HealthFileUnavailable
from worker.health import folder, is_held, to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_NODE_CHARS = 255


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
            if self._path.exists() and not self._path.is_file():  # it would be replaced, even /dev/null
                raise FileExistsError(f"{file} is no regular file")
            if self._path.exists() and is_held(str(self._path)):
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
        os.pwrite(self._descriptor, to_bytes(self._node, self._clock(), problem), 0)

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
            os.pwrite(descriptor, to_bytes(self._node, None, ""), 0)
            Path(name).replace(self._path)
            on_failure.pop_all()
        return descriptor


def _open_folder() -> Path:
    """Return this user's folder for health files, without files that are left over."""
    own = Path(folder())
    own.mkdir(mode=0o700, exist_ok=True)
    status = own.lstat()  # everyone may create it, or a link in its place
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{own} belongs to another user")
    for path in own.glob("*.health"):
        with suppress(OSError):  # another worker that starts may have removed it
            if not is_held(str(path)):
                path.unlink()
    return own
