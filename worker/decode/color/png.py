"""Reads what a PNG states about its colors in chunks before the pixels (PNG 3rd edition, 11.3.2).

The order of precedence is that of the specification, section 4.3, as Skia's SkPngRustCodec.cpp draws it: cICP, iCCP,
sRGB, gAMA with cHRM. Damaged chunks and senseless values state nothing.
"""

from __future__ import annotations

import struct
from itertools import islice
from typing import TYPE_CHECKING

from worker.decode.color.cicp import png_space
from worker.decode.color.transfer import BT709, DEFAULT_PEAK_NITS, Chromaticities, Curve, RgbSpace, to_xyz
from worker.decode.formats.png_chunks import read_chunks

if TYPE_CHECKING:
    from collections.abc import Mapping

# The chunks read, with the number of bytes of each.
_LENGTHS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"cLLI": 8, b"mDCV": 24}
_MAX_CHUNKS = 4096  # before the pixels; a real file has about ten
_RENDERING_INTENTS = 4
# Without primaries, these gammas are taken for that of sRGB, since they are near to 1/2.2 (libpng's threshold).
_USUAL_GAMMA = (0.95 / 2.2, 1.05 / 2.2)


def first_choice(chunks: Mapping[bytes, bytes]) -> RgbSpace | None:
    """Return the space of cICP, which outranks an ICC profile."""
    return png_space(chunks[b"cICP"], _peak_nits(chunks)) if b"cICP" in chunks else None


def last_choice(chunks: Mapping[bytes, bytes]) -> RgbSpace | None:
    """Return the space of gAMA and cHRM, which count only if no profile and no sRGB chunk is there.

    cHRM alone counts for nothing, since no curve is stated.
    """
    if b"sRGB" in chunks and chunks[b"sRGB"][0] < _RENDERING_INTENTS:
        return None
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big") / 100_000
    if not gamma:
        return None
    if b"cHRM" not in chunks:
        return None if _USUAL_GAMMA[0] < gamma < _USUAL_GAMMA[1] else RgbSpace(BT709, Curve(1 / gamma))
    primaries = _primaries(chunks[b"cHRM"])
    return RgbSpace(primaries, Curve(1 / gamma)) if _is_sound(primaries) else None


def color_chunks(content: bytes) -> dict[bytes, bytes]:
    """Return the bodies of the chunks of `_LENGTHS` before the pixels. Of two of a kind, the first counts."""
    found: dict[bytes, bytes] = {}
    kinds = set(_LENGTHS)
    for chunk in islice(read_chunks(content), _MAX_CHUNKS):
        if chunk.kind == b"IDAT":
            break
        if chunk.kind == b"PLTE":
            kinds.discard(b"cICP")  # too late for the palette
        if chunk.kind in kinds and chunk.end - chunk.start == _LENGTHS[chunk.kind] and chunk.is_sound(content):
            found.setdefault(chunk.kind, chunk.body(content))
    return found


def _peak_nits(chunks: Mapping[bytes, bytes]) -> float:
    """Return the brightest light in cd/m2 (cLLI), or else that of the screen on which the picture was made (mDCV)."""
    brightest = int.from_bytes(chunks.get(b"cLLI", b"")[:4], "big")
    screen = int.from_bytes(chunks.get(b"mDCV", b"")[16:20], "big")
    return (brightest or screen) / 10_000 or DEFAULT_PEAK_NITS


def _primaries(body: bytes) -> Chromaticities:
    w_x, w_y, r_x, r_y, g_x, g_y, b_x, b_y = (value / 100_000 for value in struct.unpack(">8I", body))
    return (w_x, w_y, r_x, r_y, g_x, g_y, b_x, b_y)


def _is_sound(primaries: Chromaticities) -> bool:
    if max(primaries) > 1:
        return False
    try:
        to_xyz(primaries)
    except ValueError:
        return False
    return True
