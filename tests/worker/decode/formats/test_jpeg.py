"""What a browser shows of a JPEG: orientation, damaged metadata, a missing end. The right values are Chromium's."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.hostile import builders as b
from tests.support.decoding import decoder_for
from tests.support.fields import assert_shows, fields
from tests.support.pictures import encoded, photo
from tests.support.profiles import BLUE, GREEN, RED, rgb_profile
from worker.errors import CorruptImage
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURE = encoded(Image.fromarray(fields()), "JPEG", quality=95, subsampling=0)
segment = b.jpeg_segment
XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
TURNS: dict[int, Callable[[Any], Any]] = {
    1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud, 5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1), 7: lambda p: np.rot90(p, 2).transpose(1, 0, 2), 8: np.rot90,
}  # fmt: skip


def with_segments(*segments: bytes) -> bytes:
    """Return the picture with these segments after JFIF."""
    return PICTURE[:20] + b"".join(segments) + PICTURE[20:]


def exif(orientation: int, kind: int = b.SHORT, count: int = 1) -> bytes:
    """Return an EXIF block of one tag."""
    value = struct.pack("<HH", orientation, 0)
    return b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHI", 274, kind, count) + value + bytes(4) + struct.pack("<II", 6, 1)


def app1(block: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + block)


BIG_ENDIAN = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 274, 3, 1, 6, 0)
OTHER_TAG = b.tiff((282, b.RATIONAL, [72, 1]))
UPRIGHT = {
    "orientation 0": app1(exif(0)),
    "orientation 9": app1(exif(9)),
    "orientation of type LONG": app1(exif(6, b.LONG)),
    "orientation of type BYTE": app1(exif(6, b.BYTE)),
    "orientation of type ASCII": app1(exif(6, b.ASCII)),
    "orientation of type RATIONAL": app1(b.tiff((274, b.RATIONAL, [6, 1]))),
    "two orientations in one tag": app1(exif(6, count=2)),
    "first EXIF damaged": app1(b"garbage" * 5) + app1(exif(6)),
    "first EXIF without orientation": app1(OTHER_TAG) + app1(exif(6)),
    "name of EXIF twice": segment(0xE1, b"Exif\0\0Exif\0\0" + exif(6)),
    "name of EXIF in small letters": segment(0xE1, b"exif\0\0" + exif(6)),
    "EXIF in APP2": segment(0xE2, b"Exif\0\0" + exif(6)),
    "unknown byte order": app1(b"XX" + exif(6)[2:]),
    "wrong byte order": app1(b"II*\0" + BIG_ENDIAN[4:]),
    "BigTIFF": app1(b"II+\0" + exif(6)[4:]),
    "directory beyond the block": app1(b"II*\0\x88\x13\0\0" + exif(6)[8:]),
    "cut in the tag": app1(exif(6)[:20]),
    "empty EXIF": app1(b""),
    "XMP": segment(0xE1, XMP),
    "XMP beside EXIF": app1(exif(1)) + segment(0xE1, XMP),
}


@pytest.mark.parametrize("name", UPRIGHT)
def test_what_turns_no_picture(name: str) -> None:
    assert_shows(with_segments(UPRIGHT[name]), fields(), 3)


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_turns_the_picture(orientation: int) -> None:
    assert_shows(with_segments(app1(exif(orientation))), TURNS[orientation](fields()), 3)


@pytest.mark.parametrize(
    "content",
    [
        with_segments(app1(BIG_ENDIAN)),
        with_segments(app1(exif(6)), app1(exif(3))),
        with_segments(app1(b.tiff((274, b.SHORT, [6]), (274, b.SHORT, [3])))),
        with_segments(segment(0xE1, XMP.replace(b"6", b"3")), app1(exif(6))),
        with_segments(segment(0xE1, b"Exif\0\1" + exif(6))),
        with_segments(app1(b"II*\0\x14\0\0\0" + bytes(12) + exif(6)[8:])),
        with_segments(app1(exif(6)[:8] + b"\xff\xff" + exif(6)[10:])),
        with_segments(app1(exif(6)[:22])),
        PICTURE[:2] + app1(exif(6)) + PICTURE[2:],
    ],
    ids=[
        "big-endian", "first of two blocks", "first of two tags", "EXIF beside XMP", "other byte after the name",
        "directory elsewhere", "more tags stated", "cut after the tag", "before JFIF",
    ],
)  # fmt: skip
def test_exif_that_is_unusual_turns_the_picture_too(content: bytes) -> None:
    assert_shows(content, np.rot90(fields(), -1), 3)


@pytest.mark.parametrize("trailer", [False, True], ids=["before the end", "after the end"])
def test_exif_after_the_pixels_is_ignored(trailer: bool) -> None:
    content = PICTURE + app1(exif(6)) if trailer else PICTURE[:-2] + app1(exif(6)) + PICTURE[-2:]
    assert_shows(content, fields(), 3)


DAMAGED = {
    **{f"JFIF of {size} bytes": segment(0xE0, b"JFIF\0\1\1"[:size]) for size in (0, 4, 5, 7)},
    **{f"Adobe of {size} bytes": segment(0xEE, b"Adobe\0d\0\0\0\0\1"[:size]) for size in range(5, 12)},
    **{
        f"Photoshop block of {len(block)} bytes": segment(0xED, b"Photoshop 3.0\0" + block)
        for block in (b"8BIM", b"8BIM\3\xed", b"8BIM\3\xed\xff", b"8BIM\3\xed\0\0\0\0\0\x10\0\0")
    },
    "index of pictures": segment(0xE2, b"MPF\0garbage"),
    "profile without a number": segment(0xE2, b"ICC_PROFILE\0"),
    "profile with half a number": segment(0xE2, b"ICC_PROFILE\0\1"),
    **{f"marker {marker:x} of length {length}": segment(marker, length=length)
       for marker in (0xFE, 0xE1, 0xEE) for length in (0, 1)},
    "marker without a segment": b"\xff\x01\xff\xd3",
    "junk": b"junk\0\xff\0",
    "padding": b"\xff" * 50,
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_segment_of_metadata_changes_nothing(name: str) -> None:
    assert_shows(with_segments(DAMAGED[name]), fields(), 3)


def pieces(content: bytes, numbers: list[int], count: int) -> bytes:
    """Return a profile in segments with these numbers."""
    size = -(-len(content) // count)
    head = b"ICC_PROFILE\0"
    return b"".join(
        segment(0xE2, head + bytes([number, count]) + content[(number - 1) * size : number * size])
        for number in numbers
    )


@pytest.mark.parametrize(
    ("numbers", "is_used"), [([1, 2], True), ([2, 1], True), ([1], False), ([1, 1], False), ([1, 2, 2], True)]
)
def test_a_profile_counts_only_if_each_piece_is_there(numbers: list[int], is_used: bool) -> None:
    """Red and green are swapped by this profile."""
    content = with_segments(pieces(rgb_profile(GREEN, RED, BLUE), numbers, 2))
    image = decoder_for(PreprocessSpec(96, 96, "squash")).decode(content).pixels
    assert (image[20, 20, 1] > image[20, 20, 0]) == is_used


def test_a_profile_after_the_frame_header_counts() -> None:
    """Red and green are swapped by this profile."""
    profile, scan = pieces(rgb_profile(GREEN, RED, BLUE), [1], 1), PICTURE.index(b"\xff\xda")
    late = decoder_for(PreprocessSpec(96, 96)).decode(PICTURE[:scan] + profile + PICTURE[scan:])
    early = decoder_for(PreprocessSpec(96, 96)).decode(with_segments(profile))
    plain = decoder_for(PreprocessSpec(96, 96)).decode(PICTURE)
    assert np.array_equal(late.pixels, early.pixels)
    assert not np.array_equal(late.pixels, plain.pixels)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2], ids=["half a marker", "the marker"])
def test_a_jpeg_whose_end_marker_is_missing_is_drawn(missing: int, progressive: bool) -> None:
    content = encoded(photo(), "JPEG", progressive=progressive)
    decoder = decoder_for(PreprocessSpec(96, 96))
    assert np.array_equal(decoder.decode(content[:-missing]).pixels, decoder.decode(content).pixels)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_a_jpeg_that_lacks_pixels_is_refused(share: float) -> None:
    content = encoded(photo(), "JPEG")
    with pytest.raises(CorruptImage, match="truncated"):
        decoder_for(PreprocessSpec(96, 96)).decode(content[: int(len(content) * share)])
