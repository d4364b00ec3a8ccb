"""Prepares a JPEG for Pillow (ITU-T T.81, annex B).

Pillow refuses some files for damaged segments that tell nothing about the pixels, and pays for each segment. Only what
libjpeg itself reads is kept. As in Chromium, the first EXIF segment alone states the orientation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from worker.decode.formats.exif import read_orientation
from worker.decode.formats.jpeg_kinds import check_kind
from worker.decode.formats.still import Still
from worker.decode.geometry import UPRIGHT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_START, _END = b"\xff\xd8", b"\xff\xd9"
_START_OF_SCAN = b"\xff\xda"
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_ENDS_METADATA = (0xD8, 0xD9, 0xDA)  # SOI, EOI and SOS
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))  # TEM and restart markers, which say nothing here
_COMMENT, _APPLICATION = 0xFE, range(0xE0, 0xF0)
_LENGTH_BYTES = 2  # the length counts itself
_EXIF, _EXIF_NAME, _EXIF_OFFSET = 0xE1, b"Exif\0", 6  # Chromium does not look at the sixth byte
_PROFILE, _PROFILE_NAME, _PART_NUMBER, _PROFILE_OFFSET = 0xE2, b"ICC_PROFILE\0", 12, 14
# libjpeg learns the color model from these two. It ignores shorter ones.
_COLOR_MODELS = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
# Two ways to go on after the end of a file that lacks its end marker. A whole picture comes out the same with both.
ENDINGS = (_END, bytes(range(1, 251)) * 256 + _END)


class _Segment(NamedTuple):
    marker: int
    start: int
    body: int
    end: int


def reduce_jpeg(content: bytes) -> Still:
    """Return the first picture of a JPEG without its metadata, but with its color profile.

    Raises:
        UnsupportedFormat: The file is of a kind that cannot be decoded.
    """
    profile: dict[int, bytes] = {}
    kept, exif, position = [], None, len(_START)
    for segment in _segments(content):
        whole, body, position = content[segment.start : segment.end], content[segment.body : segment.end], segment.end
        check_kind(segment.marker, body)
        if segment.marker == _EXIF and body.startswith(_EXIF_NAME):
            exif = body[_EXIF_OFFSET:] if exif is None else exif
        elif segment.marker == _PROFILE and body.startswith(_PROFILE_NAME) and len(body) >= _PROFILE_OFFSET:
            profile.setdefault(body[_PART_NUMBER], whole)  # of two with one number, browsers take the first
        elif _is_needed(segment.marker, body):
            kept.append(whole)
    parts = [*(profile.values() if _is_complete(profile.values()) else ()), *kept]
    # Pillow reads a profile only before the frame. If nothing is left out or moved, spare the copy.
    if profile or len(_START) + sum(map(len, parts)) < position:
        content = b"".join((_START, *parts, memoryview(content)[position:]))
    return Still(content, read_orientation(exif) if exif else UPRIGHT)


def lacks_end(content: bytes) -> bool:
    """Return whether a JPEG has pixels, and no end marker after them."""
    scan = content.rfind(_START_OF_SCAN)
    return content.startswith(_START) and scan > 0 and content.find(_END, scan) < 0


def _segments(content: bytes) -> Iterator[_Segment]:
    """Yield the segments before the first scan, up to one that is cut off."""
    position = len(_START)
    while found := _MARKER.search(content, position):
        marker, body = found[0][1], found.end()
        if marker in _ENDS_METADATA:
            return
        if marker in _WITHOUT_LENGTH:
            position = body
        else:
            length = int.from_bytes(content[body : body + _LENGTH_BYTES], "big")
            if length < _LENGTH_BYTES and not _is_metadata(marker):
                return
            body += _LENGTH_BYTES
            position = max(body, body - _LENGTH_BYTES + length)
        if position > len(content):
            return
        yield _Segment(marker, found.start(), body, position)


def _is_metadata(marker: int) -> bool:
    return marker in _APPLICATION or marker == _COMMENT


def _is_needed(marker: int, body: bytes) -> bool:
    if marker in _COLOR_MODELS:
        name, least = _COLOR_MODELS[marker]
        return body.startswith(name) and len(body) >= least
    return not _is_metadata(marker) and marker not in _WITHOUT_LENGTH


def _is_complete(profile: Collection[bytes]) -> bool:
    """Return whether each piece of an ICC profile is there (ICC.1:2022, annex B.4)."""
    numbers = sorted((piece[16], piece[17]) for piece in profile)
    return numbers == [(number, len(profile)) for number in range(1, len(profile) + 1)]
