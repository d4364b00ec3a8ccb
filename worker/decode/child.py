"""The decoding process: receives image files from its parent, and answers with pixels or an error.

Untrusted files reach Pillow and its libraries only here. A crash ends this process alone, the kernel limits its CPU
time and memory, and its environment holds no password.

Parent and child talk over the socket that is the child's standard input. Each message is four bytes of length and the
content. The parent sends a file. The answer is a JSON object, followed by the pixels if the file was decoded. Nothing
is unpickled.
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
_MAX_OPEN_FILES = 32


def receive(sock: socket.socket, size: int, deadline: float | None = None) -> bytes:
    """Return exactly `size` bytes.

    Raises:
        EOFError: The other side closed the socket.
        TimeoutError: The bytes did not arrive before `deadline` (by `time.monotonic`).
    """
    content = bytearray(size)
    view = memoryview(content)
    while view:
        if deadline is not None:
            sock.settimeout(seconds_until(deadline))
        count = sock.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(content)


def seconds_until(deadline: float) -> float:
    """Return the seconds that are left; raise TimeoutError if none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def main(config: dict[str, Any]) -> None:
    """Decode files until the parent closes the socket."""
    # Nobody reads the warnings. The decoder turns the one that counts, about pixel count, into an error.
    warnings.simplefilter("ignore")
    decoder = PillowDecoder(PreprocessSpec(**config["spec"]), DecodeLimits(**config["limits"]))
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    _limit(resource.RLIMIT_AS, config["memory_bytes"])
    with socket.socket(fileno=os.dup(0)) as sock, suppress(EOFError):
        while True:
            content = receive(sock, *LENGTH.unpack(receive(sock, LENGTH.size)))
            _allow_cpu(config["cpu_s"])
            parts = _answer(decoder, content)
            _allow_cpu(None)  # receiving the next file does not count
            for part in parts:
                sock.sendall(part)


def _answer(decoder: Decoder, content: bytes) -> list[bytes]:
    try:
        image = decoder.decode(content)
    except JobError as exc:
        return _framed({"error": type(exc).__name__, "message": str(exc)})
    except Exception as exc:  # noqa: BLE001  (the process's edge; the parent logs it)
        return _framed({"error": "", "message": f"{type(exc).__name__}: {exc}"})
    return [*_framed({"width": image.width, "height": image.height, "format": image.format}), image.pixels.tobytes()]


def _framed(header: dict[str, Any]) -> list[bytes]:
    text = json.dumps(header).encode()
    return [LENGTH.pack(len(text)), text]


def _allow_cpu(seconds: int | None) -> None:
    """Limit the CPU time that the process may use from now on; None removes the limit."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # At the soft limit, the kernel sends SIGXCPU, which ends the process.
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = hard if seconds is None else int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _limit(kind: int, value: int) -> None:
    with suppress(ValueError, OSError):  # some systems lack some limits
        resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
