"""`python -m tests.bench.image_server PORT FOLDER`: serves the files of a folder from memory with little CPU time.

`/7/anything` serves file 7, modulo the number of files. A server of `http.server` would use more CPU time than the
worker's download.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast


class _Connection(asyncio.Protocol):
    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            request, self._received = self._received[:end], self._received[end + 4 :]
            number = int(request.split(b"/", 2)[1])
            self._transport.write(self._answers[number % len(self._answers)])


async def _serve(port: int, answers: list[bytes]) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(answers), "127.0.0.1", port)
    await server.serve_forever()


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


if __name__ == "__main__":
    files = sorted(Path(sys.argv[2]).iterdir())
    asyncio.run(_serve(int(sys.argv[1]), [_answer(path.read_bytes()) for path in files]))
