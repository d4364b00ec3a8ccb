"""Finds the first frame of an APNG (PNG 3rd edition, sections 4.9 and 11.3.6).

It may be another picture than the one in IDAT, which then is for programs that know no animations.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from worker.decode.formats.png_chunks import damaged
from worker.decode.formats.still import Screen
from worker.errors import TooManyFrames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.decode.formats.png_chunks import Chunk

_CONTROL_BYTES, _COUNT_BYTES = 26, 8
_MAX_DISPOSAL, _MAX_BLENDING = 2, 1


@dataclass(frozen=True)
class Frame:
    """A frame: its area on the screen in pixels, and its fdAT chunks; none if it is the picture in IDAT."""

    width: int
    height: int
    left: int
    top: int
    pixels: Sequence[Chunk] = ()

    def screen(self, width: int, height: int) -> Screen | None:
        """Return the frame's place on a screen of this size, or None if the frame fills it."""
        if (self.width, self.height) == (width, height):
            return None
        return Screen(width, height, self.left, self.top)


def first_frame(
    content: bytes, header: bytes, before: Mapping[bytes, bytes], after: Iterable[Chunk], max_frames: int
) -> Frame | None:
    """Return the first frame, or None if the file is no animation.

    Args:
        content: The file.
        header: The body of IHDR.
        before: The bodies of the chunks before IDAT.
        after: The chunks after it.
        max_frames: How many frames the file may state.

    Raises:
        CorruptImage: The first frame is missing, damaged or out of order.
        TooManyFrames: The file states more frames.
    """
    screen_width, screen_height = struct.unpack_from(">II", header)
    count = _stated_frames(before.get(b"acTL", b""), max_frames)
    if control := before.get(b"fcTL"):
        frame = _read(control, screen_width, screen_height)
        if frame.screen(screen_width, screen_height):
            raise damaged("its first frame has another size than the picture")
        return None
    return _hidden_frame(content, after, screen_width, screen_height) if count else None


def _stated_frames(body: bytes, max_frames: int) -> int:
    count = int.from_bytes(body[:4], "big") if len(body) == _COUNT_BYTES else 0
    if count > max_frames:
        raise TooManyFrames(f"the image has more than {max_frames} frames (CLIPQUEUE_MAX_FRAMES)")
    return count


def _hidden_frame(content: bytes, after: Iterable[Chunk], screen_width: int, screen_height: int) -> Frame:
    chunks = iter(after)
    control = next((chunk for chunk in chunks if chunk.kind == b"fcTL" and chunk.is_sound(content)), None)
    if control is None:
        raise damaged("its first frame is missing")
    frame = _read(control.body(content), screen_width, screen_height)
    pixels = list(takewhile(lambda chunk: chunk.kind == b"fdAT", chunks))
    numbers = [int.from_bytes(content[chunk.start : chunk.start + 4], "big") for chunk in pixels]
    if not pixels or numbers != list(range(1, len(pixels) + 1)):
        raise damaged("its first frame is missing or out of order")
    return Frame(frame.width, frame.height, frame.left, frame.top, pixels)


def _read(body: bytes, screen_width: int, screen_height: int) -> Frame:
    if len(body) != _CONTROL_BYTES:
        raise damaged("its first frame is damaged")
    number, width, height, left, top, _, _, disposal, blending = struct.unpack(">5I2H2B", body)
    fits = 0 < width <= screen_width - left and 0 < height <= screen_height - top
    if number or not fits or disposal > _MAX_DISPOSAL or blending > _MAX_BLENDING:
        raise damaged("its first frame is damaged")
    return Frame(width, height, left, top)
