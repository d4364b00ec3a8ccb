"""Reduces a PNG to the still picture that a browser draws.

Only the chunks that say how to draw are kept. Text, times and unknown chunks never reach Pillow, which refuses damaged
and large ones, and unpacks others at a cost. What counts, and what makes a file undrawable, follows Chromium, whose
decoder is the crate image-png: ancillary chunks count before the pixels, the first sound one of each kind.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from worker.decode.formats.exif import read_orientation
from worker.decode.formats.png_chunks import SIGNATURE, Chunk, damaged, read_chunks, write_chunk
from worker.decode.formats.png_frames import Frame, first_frame
from worker.decode.formats.still import Still
from worker.decode.geometry import UPRIGHT
from worker.decode.limits import MAX_PROFILE_BYTES

_HEADER_BYTES = 13
_GRAY, _RGB, _PALETTE = 0, 2, 3  # color types
_WIDE = 16  # bits of a sample
_MAX_COLORS = 256
_MAX_PROFILE_NAME = 80
_ANCILLARY = (b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL")


@dataclass
class _Chunks:
    """The chunks of a file that count.

    Attributes:
        header: The body of IHDR.
        before: The bodies of the chunks before the pixels, by kind.
        pixels: The IDAT chunks.
        after: The chunks after the first IDAT.
    """

    header: bytes
    before: dict[bytes, bytes] = field(default_factory=dict)
    pixels: list[Chunk] = field(default_factory=list)
    after: list[Chunk] = field(default_factory=list)


def reduce_png(content: bytes, max_frames: int) -> Still:
    """Return the picture of a PNG, or the first frame of an APNG.

    Raises:
        CorruptImage: A browser would not draw it.
        TooManyFrames: The file states more than `max_frames` frames.
    """
    chunks = _sort(content)
    frame = first_frame(content, chunks.header, chunks.before, chunks.after, max_frames)
    if frame and not all(chunk.is_sound(content) for chunk in chunks.pixels):
        raise damaged("the checksum of its hidden picture is wrong")  # Chromium skips over it, and checks it so
    width, height, depth, color = struct.unpack_from(">IIBB", chunks.header)
    palette, transparent = b"", None
    if color == _PALETTE:
        palette = _palette(chunks.before, depth)
    elif color in (_GRAY, _RGB):
        transparent = _transparent(chunks.before.get(b"tRNS", b""), depth, color)
    if transparent and depth != _WIDE:
        palette, transparent = write_chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)), None
    exif = chunks.before.get(b"eXIf")
    return Still(
        _file(content, chunks, palette, frame),
        read_orientation(exif) if exif else UPRIGHT,
        frame.screen(width, height) if frame else None,
        transparent,
        _profile(chunks.before.get(b"iCCP", b"")),
    )


def _sort(content: bytes) -> _Chunks:
    """Read all chunks. Raises CorruptImage if those before the pixels cannot be used."""
    found: _Chunks | None = None
    for chunk in read_chunks(content):
        if found is None:
            found = _Chunks(_header(content, chunk))
        elif chunk.kind == b"IEND":
            break
        elif found.pixels:
            (found.pixels if chunk.kind == b"IDAT" and not found.after else found.after).append(chunk)
        elif chunk.kind == b"IDAT":
            found.pixels.append(chunk)
        else:
            _keep(found.before, content, chunk)
    if found is None or not found.pixels:
        raise damaged("it has no pixels")
    return found


def _header(content: bytes, chunk: Chunk) -> bytes:
    body = chunk.body(content)
    if chunk.kind != b"IHDR" or len(body) != _HEADER_BYTES or not chunk.is_sound(content) or body[10]:
        raise damaged("its header is damaged")
    return body


def _keep(before: dict[bytes, bytes], content: bytes, chunk: Chunk) -> None:
    """Note a chunk before the pixels, if it counts."""
    if chunk.kind in _ANCILLARY:
        if chunk.kind == b"tRNS" and content[25] == _PALETTE and b"PLTE" not in before:
            return  # too early to say anything about the palette
        if chunk.kind not in before and chunk.is_sound(content):
            before[chunk.kind] = chunk.body(content)
    elif not chunk.kind[0] & 0x20:  # a critical chunk, which no decoder may skip
        if chunk.kind != b"PLTE" or chunk.kind in before or not chunk.is_sound(content) or chunk.start == chunk.end:
            raise damaged(f"its chunk {chunk.kind.decode('latin-1')!r} is damaged or unknown")
        before[chunk.kind] = chunk.body(content)
    elif chunk.kind == b"fdAT":
        raise damaged("its frames are out of order")


def _palette(before: dict[bytes, bytes], depth: int) -> bytes:
    """Return the chunks PLTE and tRNS, with the last color for those that are missing. Chromium draws it for them."""
    colors, alphas = before.get(b"PLTE", b""), before.get(b"tRNS", b"")
    stated, needed = min(len(colors) // 3, 1 << depth), 1 << depth
    if not stated:
        raise damaged("it has no palette")
    last = colors[stated * 3 - 3 : stated * 3]
    chunk = write_chunk(b"PLTE", colors[: stated * 3], last * (needed - stated))
    if not 0 < len(alphas) <= _MAX_COLORS:
        return chunk
    known = alphas[:stated].ljust(stated, b"\xff")
    return chunk + write_chunk(b"tRNS", known, known[-1:] * (needed - stated))


def _transparent(body: bytes, depth: int, color: int) -> tuple[int, ...] | None:
    """Return the transparent color in the numbers that Pillow compares with its pixels, or None."""
    count = 1 if color == _GRAY else 3
    if len(body) < count * 2:
        return None
    samples = struct.unpack_from(f">{count}H", body)
    if depth == _WIDE:
        return samples
    samples, highest = tuple(sample & 0xFF for sample in samples), (1 << min(depth, 8)) - 1
    if max(samples) > highest:
        return None  # no pixel has this color
    # Pillow spreads fewer bits over 0 to 255, but keeps a picture of one bit as it is.
    return samples if depth == 1 else tuple(sample * 255 // highest for sample in samples)


def _profile(body: bytes) -> bytes | None:
    """Return the ICC profile of an iCCP chunk (section 11.3.2.3), or None if it cannot be unpacked."""
    name, _, rest = body.partition(b"\0")
    if not 0 < len(name) <= _MAX_PROFILE_NAME or rest[:1] != b"\0":
        return None
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(rest[1:], MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if unpacking.eof else None


def _file(content: bytes, chunks: _Chunks, palette: bytes, frame: Frame | None) -> bytes:
    """Return the still picture as a file. Its pixels are copied once, since there may be many megabytes of them."""
    header, pixels = chunks.header, [memoryview(content)[chunk.start : chunk.end] for chunk in chunks.pixels]
    if frame:
        header = struct.pack(">II", frame.width, frame.height) + header[8:]
        sequence_bytes = 4  # each piece of a frame starts with its number
        pixels = [memoryview(content)[chunk.start + sequence_bytes : chunk.end] for chunk in frame.pixels]
    start = struct.pack(">I4s", sum(map(len, pixels)), b"IDAT")
    unchecked = bytes(4)  # Pillow skips the checksum of pixels, and so do browsers
    return b"".join((SIGNATURE, write_chunk(b"IHDR", header), palette, start, *pixels, unchecked, write_chunk(b"IEND")))
