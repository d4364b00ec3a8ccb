"""A pool of decoding processes. If a process dies, no job is lost.

The processes run `worker.decode.child`; `worker.decode.pillow` knows the image formats.
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

# Besides OSError, reading an answer raises these if the process died or sends nonsense.
_BROKEN = (EOFError, ValueError, TypeError, KeyError, RecursionError, OverflowError)
# Some builds of numpy find their libraries only with this variable.
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)
_MAX_HEADER_BYTES = 65_536
_MAX_MESSAGE_CHARS = 500
_MAX_SIDE = 2**31
_START_TIMEOUT_S = 60.0
# An image may spend this share of its time waiting for a process. The rest is for decoding.
_WAIT_SHARE = 1 / 3
# The errors that a decoding process may report. A hijacked one can lie about an image, but do nothing else.
_REPORTABLE: dict[str, type[errors.PermanentError]] = {
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
    """Limits for decoding one image: CPU seconds, bytes of address space, and wall-clock seconds."""

    cpu_s: int
    memory_bytes: int
    wall_s: float


class DecodePool:
    """A `Decoder` (see `worker.decode.pillow`) that runs in child processes. Thread-safe.

    Args:
        spec: The model's input.
        limits: Limits for the file.
        process_limits: Limits for decoding it.
        processes: Maximum number of images being decoded at once.
    """

    def __init__(
        self, spec: PreprocessSpec, limits: DecodeLimits, process_limits: ProcessLimits, *, processes: int
    ) -> None:
        self._shape = (spec.height, spec.width, 3)
        self._limits = process_limits
        self._config = {
            "spec": asdict(spec),
            "limits": asdict(limits),
            "cpu_s": process_limits.cpu_s,
            "memory_bytes": process_limits.memory_bytes,
        }
        self.processes = processes
        # Last in, first out: with little work, one process does it all and the others are never started.
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(self.processes):
            self._idle.put(None)

    def warm_up(self) -> None:
        """Start one process and decode one pixel.

        Raises:
            DecoderUnavailable: The process does not start.
        """
        try:
            self._decode(_ONE_PIXEL, _START_TIMEOUT_S)
        except (errors.JobError, errors.Requeue) as exc:
            raise errors.DecoderUnavailable(
                f"the decoding process does not start ({exc}); CLIPQUEUE_DECODE_MEMORY_BYTES="
                f"{self._limits.memory_bytes} may be too low"
            ) from None

    def decode(self, content: bytes) -> DecodedImage:
        """Decode as `worker.decode.pillow.PillowDecoder` does.

        Raises:
            UnsupportedFormat, TooManyPixels, TooManyFrames, TooManyScans, CorruptImage: See there.
            DecodeTooCostly: The image takes more CPU time or memory than the limit.
            DecodeTimeout: The image was not decoded in time.
            DecoderCrashed: The decoding process died.
            DecodersBusy: All processes were busy for a third of that time.
        """
        return self._decode(content, self._limits.wall_s)

    def close(self) -> None:
        """Kill the idle processes. Busy ones end with this process, because their socket closes."""
        with suppress(queue.Empty):
            while True:
                if child := self._idle.get_nowait():
                    child.kill()

    def _decode(self, content: bytes, seconds: float) -> DecodedImage:
        deadline = time.monotonic() + seconds
        try:
            child = self._idle.get(timeout=seconds * _WAIT_SHARE)
        except queue.Empty:
            raise errors.DecodersBusy(
                f"all {self.processes} decoding processes are busy (CLIPQUEUE_DECODE_PROCESSES)"
            ) from None
        try:
            if child is None:
                child = _Child(self._config)
            return child.decode(content, deadline, self._shape)
        except (*_BROKEN, OSError) as exc:
            dead, child = child, None
            raise self._explain(dead, exc) from None
        finally:
            self._idle.put(child)

    def _explain(self, child: _Child | None, exc: Exception) -> Exception:
        if child is None:
            return errors.DecodersBusy(f"cannot start a decoding process: {type(exc).__name__}")
        status = child.kill()
        if isinstance(exc, TimeoutError):
            return errors.DecodeTimeout(f"decoding took longer than {self._limits.wall_s:g} s (CLIPQUEUE_DECODE_S)")
        if status == -signal.SIGXCPU:
            return errors.DecodeTooCostly(
                f"decoding takes more than {self._limits.cpu_s} s of CPU time (CLIPQUEUE_DECODE_CPU_S)"
            )
        logger.error("a decoding process died (exit status %s)", status)
        return errors.DecoderCrashed(f"the decoding process died (exit status {status})")


class _Child:
    """One decoding process, and the socket that connects it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._sock, theirs = socket.socketpair()
        with theirs, ExitStack() as on_failure:
            on_failure.callback(self._sock.close)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.decode.child", json.dumps(config)],
                stdin=theirs.fileno(),
                # Libraries print text from files, which could forge log lines.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Without this process's variables: REDIS_URL and MONGODB_URI hold passwords.
                env=_environment(),
                # Ctrl-C in a terminal must reach only the worker, which still has images to decode.
                start_new_session=True,
            )
            on_failure.pop_all()

    def decode(self, content: bytes, deadline: float, shape: tuple[int, int, int]) -> DecodedImage:
        """Decode one file.

        Raises:
            JobError: The error that the process reported.
            TimeoutError: It did not answer in time.
            OSError, EOFError, ValueError, TypeError, KeyError, RecursionError: It died, or its answer is malformed.
        """
        if select.select([self._sock], [], [], 0)[0]:  # an unexpected answer must not be taken for the next one
            raise EOFError
        self._send(LENGTH.pack(len(content)), deadline)
        self._send(content, deadline)
        (length,) = LENGTH.unpack(receive(self._sock, LENGTH.size, deadline))
        header = json.loads(receive(self._sock, _checked(length), deadline))
        if "error" in header:
            raise _reported(str(header["error"]), str(header["message"]))
        pixels = receive(self._sock, shape[0] * shape[1] * shape[2], deadline)
        width, height, file_format = int(header["width"]), int(header["height"]), str(header["format"])
        if file_format not in FORMATS or not (1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE):
            raise ValueError(file_format)
        return DecodedImage(np.frombuffer(pixels, np.uint8).reshape(shape), width, height, file_format)

    def kill(self) -> int:
        """Kill the process and return its exit status."""
        self._sock.close()
        with suppress(subprocess.TimeoutExpired):
            # A process that has died gets a moment, so that its own exit status is returned.
            self._process.wait(0.05)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads its own process group
        return self._process.wait()

    def _send(self, content: bytes, deadline: float) -> None:
        self._sock.settimeout(seconds_until(deadline))
        self._sock.sendall(content)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}


def _checked(size: int) -> int:
    if size > _MAX_HEADER_BYTES:
        raise ValueError(size)
    return size


def _reported(name: str, message: str) -> errors.JobError:
    if error := _REPORTABLE.get(name):
        return error(message[:_MAX_MESSAGE_CHARS])
    logger.error("unexpected error in a decoding process: %.500r", message)
    return errors.InternalError("unexpected error in the decoding process; the worker's log has it")
