"""The decoder on real files: formats, colour modes, orientation, and what is refused."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.hostile.shapes import progressive
from tests.support.decoding import decoder_for
from tests.support.pictures import PHOTOS, encoded, photo
from worker.decode.pillow import FORMATS, PillowDecoder
from worker.errors import CorruptImage, TooManyFrames, TooManyPixels, TooManyScans, UnsupportedFormat
from worker.spec import PreprocessSpec

SPEC = PreprocessSpec(224, 224)


@pytest.fixture
def decoder() -> PillowDecoder:
    return decoder_for(SPEC, max_pixels=4_000_000)


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("name", sorted(path.name for path in PHOTOS.iterdir()))
def test_every_sample_picture_is_decoded(name: str, decoder: PillowDecoder) -> None:
    image = decoder.decode((PHOTOS / name).read_bytes())
    assert image.pixels.shape == (224, 224, 3)
    assert image.pixels.dtype == np.uint8
    assert image.format in FORMATS
    assert image.pixels.std() > 5, "a real picture is not one colour"


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])  # Pillow turns a TIFF itself
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photo_is_turned_upright(orientation: int, file_format: str, decoder: PillowDecoder) -> None:
    """The stored pixels are turned, the tag says how: the result is the upright picture's, to the pixel row."""
    upright = photo().crop((0, 0, 640, 427))
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, 1)
    undo_exif = Image.Exif()
    undo_exif[0x0112] = undo
    tagged = Image.open(BytesIO(encoded(upright, "PNG", exif=undo_exif)))
    stored = ImageOps.exif_transpose(tagged)

    image = decoder.decode(encoded(stored, file_format, exif=exif))

    assert (image.width, image.height) == (640, 427)
    assert mean_difference(image.pixels, decoder.decode(encoded(upright, "PNG")).pixels) < 0.5


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "1", "P", "LA", "RGBA", "I;16"])
def test_every_mode_shows_the_same_picture(mode: str, decoder: PillowDecoder) -> None:
    grey = photo().convert("L")
    expected = decoder.decode(encoded(grey, "PNG")).pixels
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "CMYK":
        picture = grey.convert("RGB").convert("CMYK")
    else:
        picture = grey.convert(mode)
    file_format = "TIFF" if mode == "CMYK" else "PNG"
    assert mean_difference(decoder.decode(encoded(picture, file_format)).pixels, expected) < (8 if mode == "1" else 2)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette"])
def test_transparency_lies_on_white(kind: str, decoder: PillowDecoder) -> None:
    """The colour under a transparent pixel (here black) must not be seen."""
    if kind == "palette":
        picture = Image.new("P", (300, 300), 0)
        picture.putpalette([0, 0, 0, 255, 0, 0])
        picture.paste(1, (0, 0, 150, 300))
        content = encoded(picture, "PNG", transparency=0)
    else:
        content = encoded(Image.new(kind, (300, 300), (0, 0, 0, 0) if kind == "RGBA" else (0, 0)), "PNG")
    pixels = decoder.decode(content).pixels
    assert (pixels[:, -50:] == 255).all()
    if kind == "palette":
        assert (pixels[:, :50] == (255, 0, 0)).all()


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_counts(file_format: str, decoder: PillowDecoder) -> None:
    frames = [Image.new("RGB", (300, 200), colour) for colour in ("red", "blue", "green")]
    content = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    assert mean_difference(decoder.decode(content).pixels, np.full((224, 224, 3), (255, 0, 0))) < 2


def test_the_size_is_the_files_own_and_not_the_inputs(decoder: PillowDecoder) -> None:
    image = decoder.decode(encoded(photo(), "JPEG"))
    assert (image.width, image.height, image.format) == (1024, 768, "JPEG")


def test_a_phones_jpeg_with_a_second_picture_is_a_jpeg(decoder: PillowDecoder) -> None:
    content = encoded(photo(), "MPO", save_all=True, append_images=[photo().rotate(180)])
    image = decoder.decode(content)
    assert image.format == "JPEG"
    assert mean_difference(image.pixels, decoder.decode(encoded(photo(), "JPEG")).pixels) < 1


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (223, 225), (3, 2)])
def test_tiny_and_narrow_pictures_are_pictures(size: tuple[int, int], decoder: PillowDecoder) -> None:
    assert decoder.decode(encoded(Image.new("RGB", size, "red"), "PNG")).pixels.shape == (224, 224, 3)


def test_squash_takes_the_whole_picture() -> None:
    wide = Image.new("RGB", (400, 100), "white")
    wide.paste("red", (0, 0, 50, 100))
    squashed = decoder_for(PreprocessSpec(224, 224, "squash")).decode(encoded(wide, "PNG"))
    cropped = decoder_for(SPEC).decode(encoded(wide, "PNG"))
    assert (squashed.pixels[:, 5] == (255, 0, 0)).all()
    assert (cropped.pixels[:, 5] == 255).all()


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
    ids=["nothing", "text", "HTML", "SVG", "PDF", "EPS"],
)
def test_what_is_no_image_is_refused(content: bytes, decoder: PillowDecoder) -> None:
    with pytest.raises(UnsupportedFormat, match="JPEG"):
        decoder.decode(content)


@pytest.mark.parametrize("file_format", ["ICO", "PPM", "PCX", "TGA", "JPEG2000", "SGI"])
def test_formats_outside_the_list_are_refused(file_format: str, decoder: PillowDecoder) -> None:
    with pytest.raises(UnsupportedFormat):
        decoder.decode(encoded(photo().resize((64, 64)), file_format))


def test_heic_is_not_turned_by_its_exif(decoder: PillowDecoder) -> None:
    """Its own rotation counts, which libheif applies (ISO/IEC 23008-12, annex A.2.2): the tag may only repeat it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decoder.decode(encoded(photo(), "HEIF", quality=95, exif=exif))
    assert (image.width, image.height, image.format) == (1024, 768, "HEIF")
    assert mean_difference(image.pixels, decoder.decode(encoded(photo(), "PNG")).pixels) < 4


def test_a_damaged_png_is_no_black_picture(decoder: PillowDecoder) -> None:
    """Asking a PNG for its orientation loads it, and swallows what is wrong with it."""
    content = encoded(photo(), "PNG")
    start = content.index(b"IDAT") + 4
    with pytest.raises(CorruptImage):
        decoder.decode(content[:start] + b"\xff" * 5000 + content[start + 5000 :])


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_truncated_file_is_embedded_as_far_as_it_goes_where_the_operator_says_so(
    file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", False)  # the decoder sets it for its process
    whole = encoded(photo(), file_format)
    tolerant = decoder_for(SPEC, allow_truncated=True)
    image = tolerant.decode(whole[: len(whole) * 2 // 3])
    assert mean_difference(image.pixels[:100], tolerant.decode(whole).pixels[:100]) < 5


def test_one_side_may_not_be_too_long() -> None:
    decoder = decoder_for(SPEC, max_side=100)
    assert decoder.decode(encoded(Image.new("L", (100, 1)), "PNG")).width == 100
    with pytest.raises(TooManyPixels, match="CLIPQUEUE_MAX_SIDE"):
        decoder.decode(encoded(Image.new("L", (1, 101)), "PNG"))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_frames_may_not_be_too_many(file_format: str) -> None:
    frames = [Image.new("RGB", (16, 16), (10 * number, 0, 0)) for number in range(5)]
    content = encoded(frames[0], file_format, save_all=True, append_images=frames[1:])
    assert decoder_for(SPEC, max_frames=5).decode(content).width == 16
    with pytest.raises(TooManyFrames, match="CLIPQUEUE_MAX_FRAMES"):
        decoder_for(SPEC, max_frames=4).decode(content)


def test_scans_may_not_be_too_many() -> None:
    """An ordinary progressive JPEG has ten."""
    content = encoded(photo(), "JPEG", progressive=True)
    assert decoder_for(SPEC, max_scans=10).decode(content).width == 1024
    with pytest.raises(TooManyScans, match="CLIPQUEUE_MAX_SCANS"):
        decoder_for(SPEC, max_scans=9).decode(content)


def test_a_marker_without_a_segment_hides_no_scans() -> None:
    """TEM has no length, so what follows it must not be taken for one and skipped over."""
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
def test_what_is_no_image_is_named(content: bytes, name: str, decoder: PillowDecoder) -> None:
    with pytest.raises(UnsupportedFormat, match=f"the content is {name};"):
        decoder.decode(content)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "HEIF"])
def test_a_truncated_file_is_refused(file_format: str, decoder: PillowDecoder) -> None:
    content = encoded(photo(), file_format)
    for share in (0.01, 0.5, 0.9):
        with pytest.raises(CorruptImage):
            decoder.decode(content[: max(16, int(len(content) * share))])


def test_every_damage_is_a_damaged_image(decoder: PillowDecoder) -> None:
    """Flipped bits in real files of every format: decoded with a flaw, or refused by name, never another error."""
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
    """Return a PNG that announces a size and has next to no content."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"


@pytest.mark.parametrize("size", [(60_000, 60_000), (2500, 2500), (2001, 2000)])
def test_too_many_pixels_are_refused_by_the_header_alone(size: tuple[int, int], decoder: PillowDecoder) -> None:
    with pytest.raises(TooManyPixels, match="CLIPQUEUE_MAX_PIXELS"):
        decoder.decode(png_header(*size))


def test_the_pixel_limit_itself_is_allowed(decoder: PillowDecoder) -> None:
    assert decoder.decode(encoded(Image.new("L", (2000, 2000), 9), "PNG")).width == 2000
