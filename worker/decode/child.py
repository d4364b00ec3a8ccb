"""The decoding process: reads files from its parent, answers with pixels or an error, and may do little else.

Everything that a stranger's file can make Pillow and its libraries do happens here: a crash ends this process alone,
processor time and memory have limits that the kernel keeps, and the environment holds no password.

On the socket that is its standard input, each way: four bytes of length and as many bytes. The parent sends a file; the
answer is a JSON object, followed for a decoded image by its pixels. Nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from worker.decode.pillow import DecodeLimits, PillowDecoder
from worker.errors import JobError
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from worker.decode.pillow import Decoder

LENGTH = struct.Struct(">I")
_OPEN_FILES = 32


def receive(sock: socket.socket, size: int, ends: float | None = None) -> bytes:
    """Return exactly `size` bytes.

    Raises:
        EOFError: The other side ended before.
        TimeoutError: They did not come until `ends` (`time.monotonic`), if that is given.
    """
    content = bytearray(size)
    view = memoryview(content)
    while view:
        if ends is not None:
            sock.settimeout(seconds_until(ends))
        count = sock.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(content)


def seconds_until(ends: float) -> float:
    """Return the seconds that are left; raises TimeoutError if none are."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def main(config: dict[str, Any]) -> None:
    """Answer until the parent closes the socket."""
    # Files choose what is warned of, and nobody reads it. The decoder makes an error of the one warning that counts.
    warnings.simplefilter("ignore")
    decoder = PillowDecoder(PreprocessSpec(**config["spec"]), DecodeLimits(**config["limits"]))
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_AS, config["memory_bytes"])
    with socket.socket(fileno=os.dup(0)) as sock, suppress(EOFError):
        while True:
            content = receive(sock, *LENGTH.unpack(receive(sock, LENGTH.size)))
            _allow_cpu(config["cpu_s"])
            parts = _answer(decoder, content)
            _allow_cpu(None)  # what receiving the next file takes is not its picture's cost
            for part in parts:
                sock.sendall(part)


def _answer(decoder: Decoder, content: bytes) -> list[bytes]:
    try:
        image = decoder.decode(content)
    except JobError as exc:
        return _framed({"error": type(exc).__name__, "message": str(exc)})
    except Exception as exc:  # noqa: BLE001  (the edge of this process: the parent logs it)
        return _framed({"error": "", "message": f"{type(exc).__name__}: {exc}"})
    return [*_framed({"width": image.width, "height": image.height, "format": image.format}), image.pixels.tobytes()]


def _framed(header: dict[str, Any]) -> list[bytes]:
    text = json.dumps(header).encode()
    return [LENGTH.pack(len(text)), text]


def _allow_cpu(seconds: int | None) -> None:
    """Let the process end after so many more seconds of processor time; None lets it go on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # At the soft limit the kernel sends SIGXCPU, which ends the process.
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = hard if seconds is None else int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _limit(kind: int, value: int) -> None:
    with suppress(ValueError, OSError):  # not every system knows every limit
        resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
