"""Reduces a GIF to its first frame.

A browser takes no notice of the background color: what the first frame leaves of the screen is transparent. Blocks that
draw nothing never reach Pillow. Chromium decodes GIFs by Wuffs; what it does not draw is refused here too.
"""

from __future__ import annotations

import struct

from worker.decode.formats.still import Screen, Still
from worker.errors import CorruptImage

_HEADER_BYTES, _DESCRIPTOR_BYTES = 13, 10
_HAS_PALETTE, _PALETTE_SIZE = 0x80, 0x07
_EXTENSION, _IMAGE = 0x21, 0x2C
_CONTROL = 0xF9  # the extension that states the transparent color of the next frame
_CONTROL_BYTES = 4


def reduce_gif(content: bytes) -> Still:
    """Return the first frame of a GIF.

    Raises:
        CorruptImage: The file has no frame, or a damaged block before it.
    """
    start, control = _HEADER_BYTES + _palette_bytes(content, 10), b""
    while content[start : start + 1] == bytes([_EXTENSION]):
        end = _end_of_blocks(content, start + 2)
        if content[start + 1 : start + 2] == bytes([_CONTROL]):
            control = content[start:end]
            if content[start + 2] != _CONTROL_BYTES:
                raise _damaged()
        start = end
    if content[start : start + 1] != bytes([_IMAGE]) or start + _DESCRIPTOR_BYTES > len(content):
        raise _damaged()
    return _frame(content, control, start)


def _frame(content: bytes, control: bytes, start: int) -> Still:
    screen_width, screen_height = struct.unpack_from("<2H", content, 6)
    left, top, width, height = struct.unpack_from("<4H", content, start + 1)
    if not width or not height:
        raise _damaged()
    data = start + _DESCRIPTOR_BYTES + _palette_bytes(content, start + 9)
    end = _end_of_blocks(content, data + 1)
    header = content[:6] + struct.pack("<2H", width, height) + content[10 : _HEADER_BYTES + _palette_bytes(content, 10)]
    descriptor = bytes([_IMAGE]) + struct.pack("<4H", 0, 0, width, height)
    # A frame that does not fit makes the screen larger.
    screen = Screen(max(screen_width, left + width), max(screen_height, top + height), left, top)
    is_whole = (screen.width, screen.height) == (width, height)
    return Still(header + control + descriptor + content[start + 9 : end] + b";", screen=None if is_whole else screen)


def _palette_bytes(content: bytes, flags_at: int) -> int:
    """Return the length of the palette that the flags at this position state."""
    flags = content[flags_at] if flags_at < len(content) else 0
    return 3 << (flags & _PALETTE_SIZE) + 1 if flags & _HAS_PALETTE else 0


def _end_of_blocks(content: bytes, start: int) -> int:
    """Return the position after a chain of sub-blocks; the end of the file if that comes first."""
    while start < len(content) and content[start]:
        start += content[start] + 1
    return min(start + 1, len(content))


def _damaged() -> CorruptImage:
    return CorruptImage("the image cannot be decoded: its header or its first frame is damaged")
