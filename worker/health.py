"""`python -m worker.health` is a container's health check: it exits with 0 if this host's workers are healthy.

In a container, that is the one worker there. It asks neither Redis nor MongoDB: without them, a restart would not help.

A worker writes its health file every second (worker/lifecycle/pulse.py) and holds a lock on it. The kernel releases the
lock when the process ends, even by SIGKILL, so a file without one is left over.

The check runs every few seconds beside a model that needs the cores. So this file imports almost nothing, and the image
has a copy that Python starts without its packages: `python -I -S health.py`.
"""

import fcntl
import os
import sys
import time

SILENT_S = 30.0
"""A process that has not written its file for so many seconds is frozen or hangs."""

# Each write replaces the content as a whole, and no content is longer.
_FILE_BYTES = 4096
_READS = 5


def main() -> int:
    """Print why a worker is unhealthy, if one is."""
    problem = find_problem(os.environ.get("CLIPQUEUE_HEALTH_FILE", ""))
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201
    return 1 if problem else 0


def find_problem(file: str = "", now_s: float | None = None) -> str | None:
    """Return in one line why workers of this user on this host are unhealthy; None if they are healthy.

    Args:
        file: The health file of the worker in question. Empty for all workers that have no file of their own: at least
            one must run, and each must be healthy.
        now_s: The time on the clock of `time.monotonic`; None for now.
    """
    try:
        paths = [file] if file else _list_files()
        found = [content for path in paths if (content := _read_if_held(path))]
    except (OSError, ValueError) as exc:
        return f"the health file cannot be read: {exc}"
    if not found:
        return f"no worker of this user runs on this host: no living process holds {file or f'{folder()}/*.health'}"
    now_s = time.monotonic() if now_s is None else now_s
    return "; ".join(filter(None, (_complaint(*content, now_s) for content in found))) or None


def folder() -> str:
    """Return this user's folder for health files. Importing `tempfile`, which has the same default, takes too long."""
    return f"{os.environ.get('TMPDIR') or '/tmp'}/clipqueue-{os.getuid()}"  # noqa: S108  (pulse.py checks its owner)


def is_held(path: str) -> bool:
    """Return whether a living process holds the file. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a named pipe would wait for a writer
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def to_bytes(node: str, beat_s: float | None, problem: str) -> bytes:
    """Return the content of a health file.

    Args:
        node: The node name.
        beat_s: The time of this write on the clock of `time.monotonic`, None until the model is loaded. All processes
            of a machine share this clock. No change of the date moves it.
        problem: Why the process is unhealthy all the same; empty if it is not.
    """
    beat = "" if beat_s is None else repr(beat_s)
    # The time stands on both ends: read during a write, they differ.
    lines = [beat, *(" ".join(text.split()) for text in (node, problem)), beat, ""]
    return "\n".join(lines).encode().ljust(_FILE_BYTES)


def _from_bytes(content: bytes) -> tuple[str, float | None, str]:
    beat, node, problem, end, _ = content.decode().split("\n")
    if beat != end:
        raise ValueError
    return node, float(beat) if beat else None, problem


def _complaint(node: str, beat_s: float | None, problem: str, now_s: float) -> str | None:
    if beat_s is None:
        return f"{node} has not loaded its model yet"
    silent_s = now_s - beat_s
    if not silent_s > -SILENT_S:  # nor if it is no number
        return f"{node} has written a time that is still to come; is the health file that of a worker on this machine?"
    if silent_s > SILENT_S:
        return f"{node} is frozen or hangs: it has shown no sign of life for {silent_s:.0f} s"
    return f"{node}: {problem}" if problem else None


def _list_files() -> list[str]:
    try:
        names = os.listdir(folder())
    except FileNotFoundError:
        return []
    return [f"{folder()}/{name}" for name in sorted(names) if name.endswith(".health")]


def _read_if_held(path: str) -> tuple[str, float | None, str] | None:
    """Return the content if a living process holds the file. Raises OSError and ValueError."""
    try:
        return _read(path) if is_held(path) else None
    except FileNotFoundError:
        return None


def _read(path: str) -> tuple[str, float | None, str]:
    for _ in range(_READS):
        with open(path, "rb") as file:
            content = file.read()
        try:
            return _from_bytes(content)
        except ValueError:  # read during a write, it may be a mix of two contents
            continue
    raise ValueError("it has another content than a worker writes")


if __name__ == "__main__":
    sys.exit(main())
