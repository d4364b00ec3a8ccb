"""Reduces an image file to the picture that a browser shows first, by the rules of its format."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.decode.formats.bmp import reduce_bmp
from worker.decode.formats.gif import reduce_gif
from worker.decode.formats.heif import reduce_heif
from worker.decode.formats.jpeg import reduce_jpeg
from worker.decode.formats.png import reduce_png
from worker.decode.formats.png_chunks import SIGNATURE
from worker.decode.formats.still import Still
from worker.decode.formats.webp import reduce_webp

if TYPE_CHECKING:
    from worker.decode.limits import DecodeLimits


def reduce_file(content: bytes, limits: DecodeLimits) -> Still:
    """Return the first picture of a file. A file of another format stays as it is.

    Raises:
        UnsupportedFormat: The file is a JPEG of a kind that cannot be decoded.
        CorruptImage: The structure is damaged, so that a browser would not draw it.
        TooManyFrames, TooManyPixels: The animation exceeds a limit.
    """
    still = replace(_reduced(content, limits), original=content)
    if still.screen:
        limits.check_size(still.screen.width, still.screen.height)
    return still


def _reduced(content: bytes, limits: DecodeLimits) -> Still:
    if content.startswith(b"\xff\xd8\xff"):
        return reduce_jpeg(content)
    if content.startswith(SIGNATURE):
        return reduce_png(content, limits.max_frames)
    if content.startswith((b"GIF87a", b"GIF89a")):
        return reduce_gif(content)
    if content.startswith(b"RIFF"):
        return reduce_webp(content)
    if content.startswith(b"BM"):
        return reduce_bmp(content, limits)
    return reduce_heif(content) if content[4:8] == b"ftyp" else Still(content)
