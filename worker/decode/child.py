"""The decoding process: receives image files from its parent and answers with pixels or an error.

Untrusted files reach Pillow and its C libraries only here. A crash ends this process alone, the kernel limits its CPU
time and memory, and its environment holds no password.

Standard input is a socket to the parent (see `worker.decode.framing`). Each message from the parent is one file. Each
answer is a JSON object, followed by the raw pixels if the image was decoded. Neither side unpickles anything.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from worker.decode.framing import receive_message, send_message
from worker.decode.limits import DecodeLimits
from worker.decode.pillow import PillowDecoder
from worker.errors import JobError
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from worker.decode.pillow import Decoder

_MAX_OPEN_FILES = 32


def main(config: dict[str, Any]) -> None:
    """Decode files until the parent closes the socket."""
    # Files can trigger warnings at will, and nobody reads them. PillowDecoder turns the one that matters into an error.
    warnings.simplefilter("ignore")
    decoder = PillowDecoder(PreprocessSpec(**config["spec"]), DecodeLimits(**config["limits"]))
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    _limit(resource.RLIMIT_AS, config["memory_bytes"])
    with socket.socket(fileno=os.dup(0)) as sock, suppress(EOFError):
        while True:
            content = receive_message(sock)
            _limit_cpu(config["cpu_s"])
            header, pixels = _decode(decoder, content)
            _limit_cpu(None)  # the limit must not count sending the answer and receiving a file
            send_message(sock, json.dumps(header).encode())
            sock.sendall(pixels)


def _decode(decoder: Decoder, content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the JSON part of the answer and the pixels, which are empty after an error."""
    try:
        image = decoder.decode(content)
    except JobError as exc:
        return {"error": type(exc).__name__, "message": str(exc)}, b""
    except Exception as exc:  # noqa: BLE001  (the process must survive every file; the parent logs the error)
        return {"error": "", "message": f"{type(exc).__name__}: {exc}"}, b""
    return {"width": image.width, "height": image.height, "format": image.format}, image.pixels.tobytes()


def _limit_cpu(seconds: int | None) -> None:
    """Allow this process `seconds` more CPU time; None removes the limit."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # At the soft limit the kernel sends SIGXCPU, which ends the process.
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = hard if seconds is None else int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _limit(kind: int, value: int) -> None:
    with suppress(ValueError, OSError):  # some systems do not support every limit
        resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
