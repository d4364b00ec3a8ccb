"""TIFF files of other programs look as the picture that they were made from; what nothing reads is named."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.hostile import builders as b
from tests.support.decoding import decoder_for
from tests.support.pictures import encoded, photo
from worker.errors import CorruptImage, TooManyPixels, UnsupportedFormat
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from worker.decode.pillow import PillowDecoder

FILES = Path(__file__).parent / "files"
SIZE = (32, 24)  # width and height
SPEC = PreprocessSpec(24, 32, "squash")
NOT_DECODED = {
    "tifffile-rgb8-jpeg2000": "a TIFF with JPEG 2000 compression",
    "tifffile-rgb8-jpegxl": "a TIFF with JPEG XL compression",
    "tifffile-rgb8-lerc": "a TIFF with LERC compression",
    "tifffile-cfa": "a TIFF with the raw values of a camera's sensor",
}
NAMES = sorted(path.stem for path in FILES.glob("*.tif") if path.stem not in NOT_DECODED)
LOSSY = {
    "vips-pyr-sub": 8,
    "vips-webp": 8,
    "tifffile-dng-like": 8,
    "ycc22-strips": 3,
}  # mean difference in levels of 255


@pytest.fixture(scope="module")
def decoder() -> PillowDecoder:
    return decoder_for(SPEC)


def shown(decoder: PillowDecoder, content: bytes) -> np.ndarray:
    return decoder.decode(content).pixels.astype(int)


def gray() -> np.ndarray:
    """Return a small photo: gray values of 8 bits, (height, width)."""
    return np.asarray(photo().convert("L").resize(SIZE))


def gray_tiff(values: np.ndarray, *tags: b.Tag, photometric: int = 1) -> bytes:
    """Return an uncompressed gray TIFF with these values, in this machine's sizes of numbers."""
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    return b.tiff_picture(
        *SIZE,
        values.tobytes(),
        (339, b.SHORT, [kind]),
        *tags,
        depth=(values.dtype.itemsize * 8,),
        photometric=photometric,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_another_program_looks_as_its_picture(name: str, decoder: PillowDecoder) -> None:
    """`shown.png` is what ImageMagick and libvips show, and what the files were made from."""
    own = FILES / f"{name}.shown.png"
    picture = Image.open(own if own.exists() else FILES / "shown.png").convert("RGB")
    pixels = shown(decoder, (FILES / f"{name}.tif").read_bytes())
    expected = [shown(decoder, encoded(image, "PNG")) for image in (picture, picture.convert("L"))]
    assert min(np.abs(pixels - one).mean() for one in expected) < LOSSY.get(name, 2)


@pytest.mark.parametrize("name", NOT_DECODED)
def test_the_error_names_what_is_special(name: str, decoder: PillowDecoder) -> None:
    with pytest.raises(UnsupportedFormat, match=NOT_DECODED[name]):
        decoder.decode((FILES / f"{name}.tif").read_bytes())


@pytest.mark.parametrize(
    ("tag", "value", "name"),
    [
        (259, 9999, "unknown \\(9999\\) compression"),
        (259, 34661, "JBIG compression"),
        (262, 32845, "LogLuv colors"),
        (339, 6, "1 complex sample of 8 bits"),
    ],
)
def test_the_error_names_values_of_tags(tag: int, value: int, name: str, decoder: PillowDecoder) -> None:
    with pytest.raises(UnsupportedFormat, match=f"a TIFF with {name}"):
        decoder.decode(b.tiff_picture(9, 9, bytes(81), (tag, b.SHORT, [value])))


@pytest.mark.parametrize("top", [255, 65_535, 2**32 - 1])
@pytest.mark.parametrize("kind", ["u4", "i4"])
def test_integers_of_32_bits_keep_the_range_that_they_use(kind: str, top: int, decoder: PillowDecoder) -> None:
    """Programs store 8 or 16 bits in 32, as Pillow does with mode I. Negative values are black."""
    highest = top // 2 if kind == "i4" and top == 2**32 - 1 else top
    values = (gray().astype(np.float64) / gray().max() * highest).astype(kind)
    pixels = shown(decoder, gray_tiff(values))
    expected = gray() / gray().max() * 255 * (highest / top)
    assert np.abs(pixels[:, :, 0] - expected).max() < 2


def test_integers_of_16_bits_show_their_high_byte(decoder: PillowDecoder) -> None:
    """As Chromium does with a PNG of 16 bits, and libvips with a TIFF. A camera's 12 bits in 16 are dark."""
    values = np.linspace(0, 65_535, 32 * 24).reshape(24, 32).astype(np.uint16)
    assert np.array_equal(shown(decoder, gray_tiff(values))[:, :, 0], values >> 8)
    assert np.array_equal(shown(decoder, gray_tiff(65_535 - values, photometric=0))[:, :, 0], values >> 8)
    png = encoded(Image.fromarray(values), "PNG")
    assert np.array_equal(shown(decoder, png)[:, :, 0], values >> 8)


@pytest.mark.parametrize("highest", [1.02, 40.0])
def test_a_few_floats_above_1_do_not_make_the_rest_black(highest: float, decoder: PillowDecoder) -> None:
    """Sharpening leaves values just above 1, and light sources of a high dynamic range lie far above."""
    values = gray().astype(np.float32) / 255
    values[0, 0] = highest
    assert np.abs(shown(decoder, gray_tiff(values))[1:, :, 0] - gray()[1:]).max() <= 1


def test_samples_that_are_too_many_to_keep_are_read_twice(
    decoder: PillowDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (FILES / "tifffile-rgb32-le-tile-zip-p.tif").read_bytes()
    kept = shown(decoder, content)
    monkeypatch.setattr("worker.decode.tiff.pixels._KEPT_BYTES", 0)
    monkeypatch.setattr("worker.decode.tiff.samples._BAND_BYTES", 1)  # and in many bands
    assert np.array_equal(shown(decoder, content), kept)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_samples_are_turned_upright_as_pillow_does(orientation: int, decoder: PillowDecoder) -> None:
    tag: b.Tag = (274, b.SHORT, [orientation])
    wide, narrow = (decoder.decode(gray_tiff(gray().astype(kind) * one, tag)) for kind, one in (("u2", 257), ("u1", 1)))
    assert (wide.width, wide.height) == (narrow.width, narrow.height)
    assert np.array_equal(wide.pixels, narrow.pixels)


def test_orientation_in_xmp_alone_turns_nothing(decoder: PillowDecoder) -> None:
    xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/>'
    plain, tagged = (encoded(photo().resize(SIZE), "TIFF", tiffinfo=tags) for tags in ({}, {700: xmp}))
    assert np.array_equal(shown(decoder, tagged), shown(decoder, plain))


@pytest.mark.parametrize("compression", [1, 8])
def test_sizes_of_strips_may_be_missing(compression: int, decoder: PillowDecoder) -> None:
    plain = (gray() / 255).astype("<f4").tobytes()
    content = b.tiff(
        (256, b.LONG, [32]),
        (257, b.LONG, [24]),
        (258, b.SHORT, [32]),
        (259, b.SHORT, [compression]),
        (262, b.SHORT, [1]),
        (273, b.LONG, [b.TIFF_DATA]),
        (339, b.SHORT, [3]),
        data=zlib.compress(plain) if compression == 8 else plain,
    )
    assert np.abs(shown(decoder, content)[:, :, 0] - gray()).max() <= 1


def test_old_style_jpeg_is_decoded(decoder: PillowDecoder) -> None:
    """The preview of a camera's CR2 file is one: its first page is a JPEG in one strip."""
    jpeg = encoded(photo().resize(SIZE), "JPEG", quality=95)
    content = b.tiff_picture(*SIZE, jpeg, depth=(8, 8, 8), compression=6, photometric=6)
    assert np.abs(shown(decoder, content) - shown(decoder, jpeg)).mean() < 4


def test_an_unspecified_sample_is_no_opacity(decoder: PillowDecoder) -> None:
    """Programs keep masks and infrared light there (TIFF 6.0, section 18). Pillow decides so too for 8 bits."""
    samples = np.dstack([gray(), np.zeros_like(gray())]).astype(np.uint16) * 257
    content = b.tiff_picture(*SIZE, samples.tobytes(), (338, b.SHORT, [0]), depth=(16, 16))
    assert np.array_equal(shown(decoder, content)[:, :, 0], gray())


def test_the_limits_apply_before_samples_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = gray_tiff(gray().astype(np.uint32))
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1)  # decoders set it globally
    assert decoder_for(SPEC, max_pixels=32 * 24).decode(content).width == 32
    with pytest.raises(TooManyPixels, match="CLIPQUEUE_MAX_PIXELS"):
        decoder_for(SPEC, max_pixels=32 * 24 - 1).decode(content)


def test_a_truncated_strip_of_samples_is_damaged(decoder: PillowDecoder) -> None:
    content = gray_tiff(gray().astype(np.float32))
    start = struct.unpack("<I", content[4:8])[0]
    with pytest.raises(CorruptImage, match="truncated"):
        decoder.decode(content[:4] + struct.pack("<I", start - 999) + content[8:1000] + content[1999:])


@pytest.mark.parametrize(
    "tag",
    [(254, b.ASCII, list(b"small\0")), (254, b.FLOAT, [1.0]), (330, b.ASCII, list(b"none\0")), (330, b.LONG, [2**31])],
)
def test_damaged_tags_of_pages_hide_nothing(tag: b.Tag, decoder: PillowDecoder) -> None:
    tags = [tag] if tag[0] == 254 else [(254, b.LONG, [1]), tag]
    content = b.tiff_picture(*SIZE, gray().tobytes(), *tags)
    assert np.array_equal(shown(decoder, content)[:, :, 0], gray())


@pytest.mark.parametrize("pages", [1, 40])
def test_pages_that_refer_to_each_other_end(pages: int, decoder: PillowDecoder) -> None:
    """Only a few pages are looked at, and each once."""
    thumbnail = b.tiff_picture(*SIZE, gray().tobytes(), (254, b.LONG, [1]), (330, b.LONG, [8] * pages))
    start = struct.unpack("<I", thumbnail[4:8])[0]
    looped = thumbnail[:-4] + struct.pack("<I", start)
    assert np.array_equal(shown(decoder, looped)[:, :, 0], gray())
