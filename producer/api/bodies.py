"""Reads the body of a request while it arrives, with limits: its size, its pace, and how many large ones there are."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from producer.api.failures import ApiError, bad_request
from producer.api.inputs import looks_like_image
from producer.contract.queries import MAX_IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive

# An image of the maximum size as base64, and as much again as any other request needs.
MAX_BODY_BYTES = MAX_IMAGE_BYTES * 4 // 3 + 1024**2
SMALL_BYTES = 64 * 1024
# Each comma or bracket may become an object of 50 bytes or more. 32 texts of commas have fewer.
_MAX_PARTS = 400_000
_GRACE_S = 10.0
_BYTES_PER_S = 50_000
_DISCARD_BYTES, _DISCARD_S = 4 * MAX_BODY_BYTES, 2.0


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class Incoming:
    """The body of a request while it arrives.

    Args:
        receive: Returns the next message of the request.

    Attributes:
        is_complete: Whether the last message was the end of the body.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_complete = False

    async def next_chunk(self, deadline: float | None = None) -> bytes:
        """Return the next part of the body.

        Raises:
            ApiError: It did not arrive before the deadline, by the clock of the loop.
            ClientGone: The client closed the connection.
        """
        try:
            async with asyncio.timeout_at(deadline):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(408, "slow_body", "the request's body arrived too slowly") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        self.is_complete = not message.get("more_body", False)
        return bytes(message.get("body", b""))

    async def discard(self) -> None:
        """Read the rest of a refused body, within limits. Else the client sees a reset before it sees the answer."""
        with suppress(TimeoutError, ClientGone):
            async with asyncio.timeout(_DISCARD_S):
                left = _DISCARD_BYTES
                while left > 0 and not self.is_complete:
                    left -= len(await self.next_chunk())


class Bodies:
    """Reads bodies.

    Args:
        uploads: How many bodies above 64 KiB there may be at once.
        grace_s: Seconds that a body may take, in addition to one second for every 50 KB.
    """

    def __init__(self, uploads: int, grace_s: float = _GRACE_S) -> None:
        self._free = uploads
        self._grace_s = grace_s

    async def read(self, headers: Mapping[bytes, bytes], incoming: Incoming) -> bytes:
        """Return the body. A large one holds a place until `release` is called with it.

        Raises:
            ApiError: It is too large or too slow, or there are too many large ones.
            ClientGone: It will never be complete.
        """
        self._check_announced(headers)
        started = asyncio.get_running_loop().time()
        body = bytearray()
        try:
            while not incoming.is_complete:
                chunk = await incoming.next_chunk(started + self._grace_s + len(body) / _BYTES_PER_S)
                self._make_room(len(body), len(body) + len(chunk))
                body += chunk
            _check_parts(body)
        except BaseException:
            self.release(body)
            raise
        return bytes(body)

    def release(self, body: bytes | bytearray) -> None:
        """Give back the place of a large body."""
        self._free += len(body) > SMALL_BYTES

    def _make_room(self, before: int, after: int) -> None:
        if after > MAX_BODY_BYTES:
            raise _too_large()
        if before <= SMALL_BYTES < after:
            if not self._free:
                raise ApiError(429, "too_many_uploads", "too many uploads at once: try again", retry_after_s=1)
            self._free -= 1

    def _check_announced(self, headers: Mapping[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"")
        if length and b"transfer-encoding" in headers:
            # A proxy may read the one where h11 reads the other. What follows would then be a request of its own.
            raise bad_request("the request has both Content-Length and Transfer-Encoding: send one of them")
        if length and not length.isdigit():
            raise bad_request("Content-Length is not a number")
        if len(length) > 18 or int(length or b"0") > MAX_BODY_BYTES:  # noqa: PLR2004  (more digits than any size has)
            raise _too_large()


def _check_parts(body: bytearray) -> None:
    """Refuse JSON that would take much more memory than it has bytes."""
    if not looks_like_image(bytes(body[:64])) and sum(map(body.count, (b",", b"[", b"{"))) > _MAX_PARTS:
        raise ApiError(413, "too_large", f"the JSON has more than {_MAX_PARTS} values")


def _too_large() -> ApiError:
    return ApiError(413, "too_large", f"the request's body has more than {MAX_BODY_BYTES} bytes")
