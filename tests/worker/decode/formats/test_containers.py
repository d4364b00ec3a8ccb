"""What a browser shows of a WebP, an AVIF and a HEIC: screens and orientation. The right values are Chromium's.

Chromium draws no HEIC. There the container alone turns the picture, as in libheif.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.hostile import builders as b
from tests.support.decoding import decoder_for
from tests.support.fields import HEIGHT, WIDTH, assert_shows, fields
from tests.support.pictures import encoded
from worker.errors import CorruptImage
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURE = Image.fromarray(fields())
TURNED = b.tiff((274, b.SHORT, [6]))
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
DAMAGED_EXIF = b"II*\0\xff\xff\xff\xff"
OTHER_TAG = b.tiff((271, b.ASCII, list(b"abc\0")))
AS_ORIENTATION = struct.pack("<HHI", 271, 2, 4) + b"abc\0", struct.pack("<HHIHH", 274, 3, 1, 6, 0)


def webp_data(image: Image.Image) -> bytes:
    return encoded(image, "WEBP", lossless=True)[12:]


def avif(**options: Any) -> bytes:
    return encoded(PICTURE, "AVIF", quality=95, subsampling="4:4:4", speed=9, **options)


def heic(**options: Any) -> bytes:
    return encoded(PICTURE, "HEIF", quality=95, chroma=444, **options)


@pytest.mark.parametrize(
    "content",
    [
        encoded(PICTURE, "WEBP", lossless=True, exif=TURNED),
        encoded(PICTURE, "WEBP", lossless=True, exif=b"Exif\0\0" + TURNED),
        encoded(PICTURE, "WEBP", lossless=True, exif=b"garbage"),
        encoded(PICTURE, "WEBP", lossless=True, xmp=XMP),
        b.webp(b.webp_canvas(WIDTH, HEIGHT), b.riff_chunk(b"ABCD", b"abc"), webp_data(PICTURE)),
        encoded(PICTURE, "WEBP", lossless=True) + b"x" * 99,
    ],
    ids=["EXIF", "EXIF with a name", "damaged EXIF", "XMP", "unknown chunk", "data after the end"],
)
def test_metadata_changes_nothing_in_a_webp(content: bytes) -> None:
    assert_shows(content, fields())


@pytest.mark.parametrize("flags", [0x02, 0x12], ids=["no alpha stated", "alpha stated"])
@pytest.mark.parametrize("background", [0, 0xFFFFFFFF, 0xFF0000FF])
def test_what_the_first_frame_of_a_webp_leaves_is_white(flags: int, background: int) -> None:
    part = PICTURE.crop((6, 10, 46, 40))
    frames = b.webp_frame(40, 30, webp_data(part), 6, 10), b.webp_frame(WIDTH, HEIGHT, webp_data(PICTURE))
    head = b.webp_canvas(WIDTH, HEIGHT, flags) + b.riff_chunk(b"ANIM", struct.pack("<IH", background, 0))
    shown = np.full_like(fields(), 255)
    shown[10:40, 6:46] = fields()[10:40, 6:46]
    assert_shows(b.webp(head, *frames), shown)


@pytest.mark.parametrize("difference", [-10, 1, 100])
def test_a_webp_of_another_length_than_stated_is_refused(difference: int) -> None:
    content = encoded(PICTURE, "WEBP", lossless=True)
    wrong = content[:4] + struct.pack("<I", len(content) - 8 + difference) + content[8:]
    with pytest.raises(CorruptImage):
        decoder_for(PreprocessSpec(96, 96)).decode(wrong)


@pytest.mark.parametrize(
    "build",
    [
        lambda: avif(exif=OTHER_TAG).replace(*AS_ORIENTATION),
        lambda: avif(exif=OTHER_TAG).replace(b"II*\0", b"XXXX"),
        lambda: avif(xmp=XMP),
        lambda: heic(exif=b"Exif\0\0" + OTHER_TAG).replace(*AS_ORIENTATION),
        lambda: heic(exif=b"Exif\0\0" + OTHER_TAG).replace(b"II*\0", b"XXXX"),
        lambda: heic(exif=b"Exif\0\0" + DAMAGED_EXIF),
        lambda: heic(xmp=XMP.replace(b"6", b"1")).replace(XMP.replace(b"6", b"1"), XMP),  # or irot would be written
    ],
    ids=[
        "AVIF: EXIF", "AVIF: damaged EXIF", "AVIF: XMP", "HEIC: EXIF", "HEIC: damaged EXIF", "HEIC: cut EXIF",
        "HEIC: XMP",
    ],
)  # fmt: skip
def test_metadata_does_not_turn_an_avif_or_heic(build: Callable[[], bytes]) -> None:
    decoder_for(PreprocessSpec(96, 96))  # makes Pillow know HEIC
    assert_shows(build(), fields(), 3)


@pytest.mark.parametrize(
    ("orientation", "turns"),
    [(2, np.fliplr), (3, lambda p: np.rot90(p, 2)), (6, lambda p: np.rot90(p, -1)), (8, np.rot90)],
)
@pytest.mark.parametrize("has_damaged_exif", [False, True])
def test_the_container_turns_an_avif(orientation: int, turns: Callable[[Any], Any], has_damaged_exif: bool) -> None:
    """Pillow writes an orientation into irot and imir, and the other tags into EXIF."""
    exif = b.tiff((271, b.ASCII, list(b"abc\0")), (274, b.SHORT, [orientation]))
    content = avif(exif=exif)
    assert b"irot" in content or b"imir" in content
    assert_shows(content.replace(b"II*\0", b"XXXX") if has_damaged_exif else content, turns(fields()), 3)
