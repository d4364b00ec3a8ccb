"""A pool of decoding processes. A file that crashes or blocks one of them affects no other job.

This module knows nothing about image formats. The processes run `worker.decode.child`.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from worker import errors
from worker.decode.framing import is_readable, receive_exactly, receive_message, send_message
from worker.decode.pillow import DecodedImage
from worker.decode.supported import FORMATS

if TYPE_CHECKING:
    from worker.decode.limits import DecodeLimits
    from worker.spec import PreprocessSpec

logger = logging.getLogger(__name__)

# Raised by reading an answer when the process has ended or an attacker controls it.
_PROCESS_LOST = (OSError, EOFError, ValueError, TypeError, KeyError, RecursionError, OverflowError)
# Some builds of numpy find their libraries only through this variable.
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)
_SET_VARIABLES = {
    "OPENBLAS_NUM_THREADS": "1",
    # glibc returns freed memory to the kernel at once by default, and gets it back page by page for the next image,
    # which took two fifths of the time of a small WebP (mallopt(3)). Larger blocks than 32 MiB are still returned.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024**2),
}
_MAX_HEADER_BYTES = 65_536
_MAX_MESSAGE_CHARS = 500
_MAX_SIDE = 2**31
_START_TIMEOUT_S = 60.0
# A job may spend this share of its time waiting for a process. The rest must be enough for the decoding itself.
_WAIT_SHARE = 1 / 3
# The errors that a decoding process may report. Even a compromised process can only lie about images that it is given.
_ALLOWED_ERRORS: dict[str, type[errors.PermanentError]] = {
    error.__name__: error
    for error in (
        errors.UnsupportedFormat,
        errors.TooManyPixels,
        errors.TooManyFrames,
        errors.TooManyScans,
        errors.CorruptImage,
        errors.DecodeTooCostly,
    )
}
_ONE_PIXEL_GIF = b"GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"


@dataclass(frozen=True)
class ProcessLimits:
    """Limits for decoding one image.

    Attributes:
        cpu_s: CPU time in seconds.
        memory_bytes: Address space of the process in bytes.
        wall_s: Elapsed time in seconds, including the wait for a free process.
    """

    cpu_s: int
    memory_bytes: int
    wall_s: float


class DecodePool:
    """A `Decoder` (`worker.decode.pillow`) that decodes in child processes. Thread-safe.

    Args:
        spec: The size of the model's input, and how images are resized to it.
        limits: Limits on the image file.
        process_limits: Limits on decoding one image.
        processes: Maximum number of processes, which is the maximum number of images decoded at once.

    Attributes:
        answers: The number of images that the processes have answered, also with an error.
        is_awaited: Whether an image was to be decoded after the last answer.
        lost: How many processes ended while they decoded an image, or had to be ended.
    """

    def __init__(
        self, spec: PreprocessSpec, limits: DecodeLimits, process_limits: ProcessLimits, *, processes: int
    ) -> None:
        self._pixel_shape = (spec.height, spec.width, 3)
        self._limits = process_limits
        self._config = {
            "spec": asdict(spec),
            "limits": asdict(limits),
            "cpu_s": process_limits.cpu_s,
            "memory_bytes": process_limits.memory_bytes,
        }
        self.processes = processes
        self.answers = 0
        self.is_awaited = False
        self.lost = 0
        self._lock = threading.Lock()
        self._running: set[_Child] = set()
        # Last in, first out: the most recently used process is reused, so that others start only when they are needed.
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(self.processes):
            self._idle.put(None)

    def warm_up(self) -> None:
        """Start one process and decode an image of one pixel.

        Raises:
            DecoderUnavailable: The process does not start.
        """
        try:
            self._decode(_ONE_PIXEL_GIF, _START_TIMEOUT_S)
        except (errors.JobError, errors.Requeue) as exc:
            raise errors.DecoderUnavailable(
                f"the decoding process does not start ({exc}); CLIPQUEUE_DECODE_MEMORY_BYTES="
                f"{self._limits.memory_bytes} may be too low"
            ) from None

    def try_out(self) -> None:
        """Decode an image of one pixel. If that works, `is_awaited` becomes false."""
        with suppress(errors.JobError, errors.Requeue):
            self._decode(_ONE_PIXEL_GIF, self._limits.wall_s)

    def decode(self, content: bytes) -> DecodedImage:
        """Decode an image file as `worker.decode.pillow.PillowDecoder` does.

        Raises:
            UnsupportedFormat, TooManyPixels, TooManyFrames, TooManyScans, CorruptImage: As `PillowDecoder.decode`.
            DecodeTooCostly: Decoding needs more CPU time or memory than the limits allow.
            DecodeTimeout: Decoding did not finish in time.
            DecoderCrashed: The process ended while it decoded the image.
            DecodersBusy: No process became free in a third of the allowed time, or none can be started.
        """
        return self._decode(content, self._limits.wall_s)

    @property
    def pids(self) -> list[int]:
        """The process ids of the processes that run."""
        with self._lock:
            return [child.pid for child in self._running]

    def close(self) -> None:
        """Stop every idle process. Busy ones stop when this process exits."""
        with suppress(queue.Empty):
            while True:
                if child := self._idle.get_nowait():
                    self._stop(child)

    def _decode(self, content: bytes, timeout_s: float) -> DecodedImage:
        deadline = time.monotonic() + timeout_s
        self.is_awaited = True
        try:
            child = self._idle.get(timeout=timeout_s * _WAIT_SHARE)
        except queue.Empty:
            raise errors.DecodersBusy(
                f"all {self.processes} decoding processes are busy (CLIPQUEUE_DECODE_PROCESSES)"
            ) from None
        try:
            if child is None:
                child = self._start()
            return self._answered(child, content, deadline)
        except _PROCESS_LOST as exc:
            lost, child = child, None
            self.is_awaited = True
            raise self._stop_lost(lost, exc) from None
        finally:
            self._idle.put(child)

    def _answered(self, child: _Child, content: bytes, deadline: float) -> DecodedImage:
        """Return the answer of a process, and note that it came. Raises as `_Child.decode` does."""
        try:
            image = child.decode(content, deadline, self._pixel_shape)
        except errors.JobError:
            self._note_answer()
            raise
        self._note_answer()
        return image

    def _note_answer(self) -> None:
        self.answers += 1
        self.is_awaited = False

    def _start(self) -> _Child:
        child = _Child(self._config)
        with self._lock:
            self._running.add(child)
        return child

    def _stop(self, child: _Child) -> int:
        status = child.stop()
        with self._lock:
            self._running.discard(child)
        return status

    def _stop_lost(self, child: _Child | None, exc: Exception) -> Exception:
        """Stop a process that did not answer properly, and return the error to raise."""
        if child is None:
            return errors.DecodersBusy(f"no decoding process can be started: {type(exc).__name__}")
        status = self._stop(child)
        with self._lock:
            self.lost += 1
        if isinstance(exc, TimeoutError):
            return errors.DecodeTimeout(
                f"the image was not decoded within {self._limits.wall_s:g} s (CLIPQUEUE_DECODE_S)"
            )
        if status == -signal.SIGXCPU:
            self._note_answer()  # it has worked all the time
            return errors.DecodeTooCostly(
                f"decoding the image needs more than {self._limits.cpu_s} s of CPU time (CLIPQUEUE_DECODE_CPU_S)"
            )
        logger.warning("a decoding process ended unexpectedly (exit status %s); another one takes its place", status)
        return errors.DecoderCrashed(f"the process that decoded the image ended unexpectedly (exit status {status})")


class _Child:
    """One decoding process and the socket to it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._sock, child_sock = socket.socketpair()
        with child_sock, ExitStack() as on_failure:
            on_failure.callback(self._sock.close)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.decode.child", json.dumps(config)],
                stdin=child_sock.fileno(),
                # Libraries print text from the file, which could forge lines in the log.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # This process's environment is not inherited: REDIS_URL and MONGODB_URI hold passwords.
                env=_environment(),
                # Ctrl-C in a terminal is for the worker alone, which then finishes its jobs.
                start_new_session=True,
            )
            on_failure.pop_all()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def decode(self, content: bytes, deadline: float, pixel_shape: tuple[int, int, int]) -> DecodedImage:
        """Send one file and wait for the answer.

        Raises:
            JobError: The process reported this error.
            TimeoutError: The answer did not arrive before the deadline.
            OSError, EOFError, ValueError, TypeError, KeyError, RecursionError, OverflowError: The process ended, or
                its answer is invalid.
        """
        if is_readable(self._sock):  # an unrequested answer must not count as this file's
            raise EOFError
        send_message(self._sock, content, deadline)
        header = json.loads(receive_message(self._sock, deadline, _MAX_HEADER_BYTES))
        if "error" in header:
            raise _reported_error(str(header["error"]), str(header["message"]))
        pixels = receive_exactly(self._sock, pixel_shape[0] * pixel_shape[1] * pixel_shape[2], deadline)
        width, height, file_format = int(header["width"]), int(header["height"]), str(header["format"])
        if file_format not in FORMATS or not (1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE):
            raise ValueError(file_format)
        return DecodedImage(np.frombuffer(pixels, np.uint8).reshape(pixel_shape), width, height, file_format)

    def stop(self) -> int:
        """Stop the process and return its exit status."""
        self._sock.close()
        with suppress(subprocess.TimeoutExpired):
            # If the process is about to exit on its own, its exit status tells why.
            self._process.wait(0.05)
        # macOS answers PermissionError for a process that has just ended and was not waited for.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # start_new_session made it the leader of its group
        return self._process.wait()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, **_SET_VARIABLES, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _reported_error(name: str, message: str) -> errors.JobError:
    if error := _ALLOWED_ERRORS.get(name):
        return error(message[:_MAX_MESSAGE_CHARS])
    logger.error("unexpected error in a decoding process: %.500r", message)
    return errors.InternalError("unexpected error in the decoding process; see the worker's log")
