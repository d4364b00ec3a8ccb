"""Decodes in a bounded number of processes of their own, each of which may be lost without loss of a job.

Knows nothing of image formats: that is `worker.decode.pillow`, which the processes run (`worker.decode.child`).
"""

from __future__ import annotations

import json
import logging
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from worker import errors
from worker.decode.child import LENGTH, receive, seconds_until
from worker.decode.pillow import FORMATS, DecodedImage, DecodeLimits

if TYPE_CHECKING:
    from worker.spec import PreprocessSpec

logger = logging.getLogger(__name__)

# What reading an answer can raise beside OSError, if the process is lost or taken over.
_LOST = (EOFError, ValueError, TypeError, KeyError, RecursionError, OverflowError)
# Without it, numpy is not found where it was built with paths of its own.
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)
_MAX_HEADER_BYTES = 65_536
_MAX_MESSAGE_CHARS = 500
_LARGEST_SIDE = 2**31
_START_S = 60.0
# Of the time for one image: what it may wait for a process. The rest must suffice for what it may cost.
_WAIT_SHARE = 1 / 3
# What a decoding process may answer. One that was taken over can lie about an image, and nothing else.
_ANSWERS: dict[str, type[errors.PermanentError]] = {
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
_ONE_PIXEL = b"GIF89a\1\0\1\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"


@dataclass(frozen=True)
class ProcessLimits:
    """What decoding one image may cost: processor seconds, bytes of address space, and seconds by the clock."""

    cpu_s: int
    memory_bytes: int
    wall_s: float


class DecodePool:
    """A `Decoder` (`worker.decode.pillow`) in processes of their own; safe to share between threads.

    Args:
        spec: The size and manner of the model's input.
        limits: What a file may be.
        process_limits: What decoding it may cost.
        processes: Maximum number of images being decoded at once.
    """

    def __init__(
        self, spec: PreprocessSpec, limits: DecodeLimits, process_limits: ProcessLimits, *, processes: int
    ) -> None:
        self._pixels = (spec.height, spec.width, 3)
        self._limits = process_limits
        self._config = {
            "spec": asdict(spec),
            "limits": asdict(limits),
            "cpu_s": process_limits.cpu_s,
            "memory_bytes": process_limits.memory_bytes,
        }
        self.processes = processes
        # The last one used is taken first: the others stay idle, and need not be started before they are needed.
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(self.processes):
            self._idle.put(None)

    def warm_up(self) -> None:
        """Start one process and decode one pixel.

        Raises:
            DecoderUnavailable: It does not start.
        """
        try:
            self._decode(_ONE_PIXEL, _START_S)
        except (errors.JobError, errors.Requeue) as exc:
            raise errors.DecoderUnavailable(
                f"the decoding process does not start ({exc}); CLIPQUEUE_DECODE_MEMORY_BYTES="
                f"{self._limits.memory_bytes} may be too little for it"
            ) from None

    def decode(self, content: bytes) -> DecodedImage:
        """Decode as `worker.decode.pillow.PillowDecoder` does.

        Raises:
            UnsupportedFormat, TooManyPixels, TooManyFrames, TooManyScans, CorruptImage: See there.
            DecodeTooCostly: It took more processor time or memory than one image may.
            DecodeTimeout: It was not decoded in time.
            DecoderCrashed: The process that decoded it was lost.
            DecodersBusy: Every process was busy for a third of that time.
        """
        return self._decode(content, self._limits.wall_s)

    def close(self) -> None:
        """End every process that is idle; the others end when this process does."""
        with suppress(queue.Empty):
            while True:
                if child := self._idle.get_nowait():
                    child.end()

    def _decode(self, content: bytes, seconds: float) -> DecodedImage:
        ends = time.monotonic() + seconds
        try:
            child = self._idle.get(timeout=seconds * _WAIT_SHARE)
        except queue.Empty:
            raise errors.DecodersBusy(
                f"{self.processes} images are being decoded (CLIPQUEUE_DECODE_PROCESSES)"
            ) from None
        try:
            if child is None:
                child = _Child(self._config)
            return child.ask(content, ends, self._pixels)
        except (*_LOST, OSError) as exc:
            lost, child = child, None
            raise self._explain(lost, exc) from None
        finally:
            self._idle.put(child)

    def _explain(self, child: _Child | None, exc: Exception) -> Exception:
        if child is None:
            return errors.DecodersBusy(f"no decoding process can be started: {type(exc).__name__}")
        status = child.end()
        if isinstance(exc, TimeoutError):
            return errors.DecodeTimeout(
                f"the image was not decoded within {self._limits.wall_s:g} s (CLIPQUEUE_DECODE_S)"
            )
        if status == -signal.SIGXCPU:
            return errors.DecodeTooCostly(
                f"the image needs more than {self._limits.cpu_s} s of processor time (CLIPQUEUE_DECODE_CPU_S)"
            )
        logger.error("a decoding process was lost (exit status %s)", status)
        return errors.DecoderCrashed(f"the process that decoded the image was lost (exit status {status})")


class _Child:
    """One decoding process and the socket to it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._sock, theirs = socket.socketpair()
        with theirs, ExitStack() as on_failure:
            on_failure.callback(self._sock.close)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.decode.child", json.dumps(config)],
                stdin=theirs.fileno(),
                # Libraries print what files tell them to; it would forge lines of the log.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # None of this process's environment: REDIS_URL and MONGODB_URI hold passwords.
                env=_environment(),
                # Ctrl-C in a terminal is for the worker, which then ends its jobs.
                start_new_session=True,
            )
            on_failure.pop_all()

    def ask(self, content: bytes, ends: float, shape: tuple[int, int, int]) -> DecodedImage:
        """Have one file decoded.

        Raises:
            JobError: What the process answered.
            TimeoutError: It did not answer in time.
            OSError, EOFError, ValueError, TypeError, KeyError, RecursionError: It was lost, or answers nonsense.
        """
        if select.select([self._sock], [], [], 0)[0]:  # an answer that nobody asked for must not be the next one's
            raise EOFError
        self._send(LENGTH.pack(len(content)), ends)
        self._send(content, ends)
        (length,) = LENGTH.unpack(receive(self._sock, LENGTH.size, ends))
        header = json.loads(receive(self._sock, _checked(length), ends))
        if "error" in header:
            raise _answered(str(header["error"]), str(header["message"]))
        pixels = receive(self._sock, shape[0] * shape[1] * shape[2], ends)
        width, height, file_format = int(header["width"]), int(header["height"]), str(header["format"])
        if file_format not in FORMATS or not (1 <= width <= _LARGEST_SIDE and 1 <= height <= _LARGEST_SIDE):
            raise ValueError(file_format)
        return DecodedImage(np.frombuffer(pixels, np.uint8).reshape(shape), width, height, file_format)

    def end(self) -> int:
        """Kill the process and return its exit status."""
        self._sock.close()
        with suppress(subprocess.TimeoutExpired):
            # A process that ended by itself tells why; one that works or waits is killed.
            self._process.wait(0.05)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session of its own
        return self._process.wait()

    def _send(self, content: bytes, ends: float) -> None:
        self._sock.settimeout(seconds_until(ends))
        self._sock.sendall(content)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}


def _checked(size: int) -> int:
    if size > _MAX_HEADER_BYTES:
        raise ValueError(size)
    return size


def _answered(name: str, message: str) -> errors.JobError:
    if error := _ANSWERS.get(name):
        return error(message[:_MAX_MESSAGE_CHARS])
    logger.error("a decoding process met a defect: %.500r", message)
    return errors.InternalError("the decoding process met a defect; the worker's log has more")
