"""Prepares a WebP for Pillow (the container: RFC 9649, section 2.7).

EXIF is not read: browsers do not turn a WebP.
"""

from __future__ import annotations

from worker.decode.formats.still import Still

_FLAGS_AT = 20  # of the chunk VP8X, which comes first if there is one
_ALPHA, _ANIMATION = 0x10, 0x02


def reduce_webp(content: bytes) -> Still:
    """Return the WebP; if it is an animation, with a transparent screen.

    The header of an animation may state that no frame is transparent. What the first frame leaves of the screen is so
    nevertheless, but libwebp would make it black.
    """
    if content[12:16] != b"VP8X" or not content[_FLAGS_AT : _FLAGS_AT + 1] or not content[_FLAGS_AT] & _ANIMATION:
        return Still(content)
    return Still(content[:_FLAGS_AT] + bytes([content[_FLAGS_AT] | _ALPHA]) + content[_FLAGS_AT + 1 :])
