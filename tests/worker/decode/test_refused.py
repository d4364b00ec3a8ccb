"""The decoder refuses unsupported formats, damaged files and images above a limit, each with its own error."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.hostile.shapes import progressive
from tests.support.decoding import decoder_for
from tests.support.pictures import PHOTOS, encoded, photo
from worker.errors import CorruptImage, TooManyFrames, TooManyPixels, TooManyScans, UnsupportedFormat
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from worker.decode.pillow import PillowDecoder

SPEC = PreprocessSpec(224, 224)


@pytest.fixture
def decoder() -> PillowDecoder:
    return decoder_for(SPEC, max_pixels=4_000_000)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"<html></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"%!PS-Adobe-3.0 EPSF-3.0",
    ],
    ids=["empty", "text", "HTML", "SVG", "PDF", "EPS"],
)
def test_content_that_is_not_an_image_is_refused(content: bytes, decoder: PillowDecoder) -> None:
    with pytest.raises(UnsupportedFormat, match="JPEG"):
        decoder.decode(content)


@pytest.mark.parametrize("file_format", ["ICO", "PPM", "PCX", "TGA", "JPEG2000", "SGI"])
def test_unsupported_image_formats_are_refused(file_format: str, decoder: PillowDecoder) -> None:
    with pytest.raises(UnsupportedFormat):
        decoder.decode(encoded(photo().resize((64, 64)), file_format))


def test_a_damaged_png_is_not_decoded_as_black(decoder: PillowDecoder) -> None:
    """Reading the orientation of a PNG loads the image and hides decoding errors."""
    content = encoded(photo(), "PNG")
    start = content.index(b"IDAT") + 4
    with pytest.raises(CorruptImage):
        decoder.decode(content[:start] + b"\xff" * 5000 + content[start + 5000 :])


def test_the_length_of_a_side_is_limited() -> None:
    decoder = decoder_for(SPEC, max_side=100)
    assert decoder.decode(encoded(Image.new("L", (100, 1)), "PNG")).width == 100
    with pytest.raises(TooManyPixels, match="CLIPQUEUE_MAX_SIDE"):
        decoder.decode(encoded(Image.new("L", (1, 101)), "PNG"))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_the_number_of_frames_is_limited(file_format: str) -> None:
    frames = [Image.new("RGB", (16, 16), (10 * number, 0, 0)) for number in range(5)]
    content = encoded(frames[0], file_format, save_all=True, append_images=frames[1:])
    assert decoder_for(SPEC, max_frames=5).decode(content).width == 16
    with pytest.raises(TooManyFrames, match="CLIPQUEUE_MAX_FRAMES"):
        decoder_for(SPEC, max_frames=4).decode(content)


def test_the_number_of_scans_is_limited() -> None:
    """An ordinary progressive JPEG has ten."""
    content = encoded(photo(), "JPEG", progressive=True)
    assert decoder_for(SPEC, max_scans=10).decode(content).width == 1024
    with pytest.raises(TooManyScans, match="CLIPQUEUE_MAX_SCANS"):
        decoder_for(SPEC, max_scans=9).decode(content)


def test_a_marker_without_a_segment_hides_no_scans() -> None:
    """TEM has no length field. If the next bytes were read as one, the following scans would be skipped."""
    content = progressive(300)
    second = content.index(b"\xff\xda", content.index(b"\xff\xda") + 2)
    with pytest.raises(TooManyScans):
        decoder_for(SPEC).decode(content[:second] + b"\xff\x01\xfe\xfe" + content[second:])


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"\x1f\x8b\x08", "an archive"),
        (b"\x00\x00\x00\x18ftypmp42", "a video"),
        (b"\x00\x01\x02", "not an image"),
    ],
)
def test_the_error_names_the_content(content: bytes, name: str, decoder: PillowDecoder) -> None:
    with pytest.raises(UnsupportedFormat, match=f"the content is {name};"):
        decoder.decode(content)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "HEIF"])
def test_a_truncated_file_is_refused(file_format: str, decoder: PillowDecoder) -> None:
    content = encoded(photo().resize((320, 240)), file_format)
    for share in (0.01, 0.5, 0.9):
        with pytest.raises(CorruptImage):
            decoder.decode(content[: max(16, int(len(content) * share))])


def test_flipped_bits_cause_only_known_errors(decoder: PillowDecoder) -> None:
    """A sample with flipped bits is either decoded or refused with an error of the decoder."""
    rng = np.random.default_rng(5)
    outcomes: Counter[str] = Counter()
    for path in sorted(PHOTOS.iterdir()):
        content = path.read_bytes()
        for _ in range(20):
            damaged = bytearray(content)
            for position in rng.integers(0, len(content), 3):
                damaged[position] ^= 1 << rng.integers(0, 8)
            try:
                decoder.decode(bytes(damaged))
                outcomes["decoded"] += 1
            except (CorruptImage, UnsupportedFormat, TooManyPixels) as exc:
                outcomes[exc.code] += 1
    assert outcomes["decoded"] > 50
    assert outcomes["corrupt_image"] > 50


def png_header(width: int, height: int) -> bytes:
    """Return a PNG whose header states a size and which has almost no pixel data."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"


@pytest.mark.parametrize("size", [(60_000, 60_000), (2500, 2500), (2001, 2000)])
def test_too_many_pixels_are_refused_after_reading_the_header(size: tuple[int, int], decoder: PillowDecoder) -> None:
    with pytest.raises(TooManyPixels, match="CLIPQUEUE_MAX_PIXELS"):
        decoder.decode(png_header(*size))


def test_an_image_at_the_pixel_limit_is_decoded(decoder: PillowDecoder) -> None:
    assert decoder.decode(encoded(Image.new("L", (2000, 2000), 9), "PNG")).width == 2000
