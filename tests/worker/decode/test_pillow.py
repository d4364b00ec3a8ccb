"""The decoder on real files: formats, modes, transparency, EXIF orientation and crop."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support.decoding import decoder_for
from tests.support.pictures import PHOTOS, encoded, photo
from worker.decode.supported import FORMATS
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from worker.decode.pillow import PillowDecoder

SPEC = PreprocessSpec(224, 224)


@pytest.fixture
def decoder() -> PillowDecoder:
    return decoder_for(SPEC, max_pixels=4_000_000)


def mean_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("name", sorted(path.name for path in PHOTOS.iterdir()))
def test_every_sample_photo_is_decoded(name: str, decoder: PillowDecoder) -> None:
    image = decoder.decode((PHOTOS / name).read_bytes())
    assert image.pixels.shape == (224, 224, 3)
    assert image.pixels.dtype == np.uint8
    assert image.format in FORMATS
    assert image.pixels.std() > 5, "a photo is not a single color"


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])  # Pillow itself turns TIFF images upright
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photo_is_turned_upright(orientation: int, file_format: str, decoder: PillowDecoder) -> None:
    """The tag tells how the stored pixels are rotated. The result equals that of the upright photo."""
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
def test_the_photo_looks_the_same_in_every_mode(mode: str, decoder: PillowDecoder) -> None:
    gray = photo().convert("L")
    expected = decoder.decode(encoded(gray, "PNG")).pixels
    if mode == "I;16":
        image = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    elif mode == "CMYK":
        image = gray.convert("RGB").convert("CMYK")
    else:
        image = gray.convert(mode)
    file_format = "TIFF" if mode == "CMYK" else "PNG"
    assert mean_difference(decoder.decode(encoded(image, file_format)).pixels, expected) < (8 if mode == "1" else 2)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "palette"])
def test_transparent_pixels_are_white(kind: str, decoder: PillowDecoder) -> None:
    """The stored color of a transparent pixel, which is black here, must not show."""
    if kind == "palette":
        image = Image.new("P", (300, 300), 0)
        image.putpalette([0, 0, 0, 255, 0, 0])
        image.paste(1, (0, 0, 150, 300))
        content = encoded(image, "PNG", transparency=0)
    else:
        content = encoded(Image.new(kind, (300, 300), (0, 0, 0, 0) if kind == "RGBA" else (0, 0)), "PNG")
    pixels = decoder.decode(content).pixels
    assert (pixels[:, -50:] == 255).all()
    if kind == "palette":
        assert (pixels[:, :50] == (255, 0, 0)).all()


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_decoded(file_format: str, decoder: PillowDecoder) -> None:
    frames = [Image.new("RGB", (300, 200), color) for color in ("red", "blue", "green")]
    content = encoded(frames[0], file_format, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    assert mean_difference(decoder.decode(content).pixels, np.full((224, 224, 3), (255, 0, 0))) < 2


def test_the_size_is_that_of_the_original_image(decoder: PillowDecoder) -> None:
    image = decoder.decode(encoded(photo(), "JPEG"))
    assert (image.width, image.height, image.format) == (1024, 768, "JPEG")


def test_a_jpeg_with_a_second_image_is_a_jpeg(decoder: PillowDecoder) -> None:
    content = encoded(photo(), "MPO", save_all=True, append_images=[photo().rotate(180)])
    image = decoder.decode(content)
    assert image.format == "JPEG"
    assert mean_difference(image.pixels, decoder.decode(encoded(photo(), "JPEG")).pixels) < 1


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (223, 225), (3, 2)])
def test_tiny_and_narrow_images_are_decoded(size: tuple[int, int], decoder: PillowDecoder) -> None:
    assert decoder.decode(encoded(Image.new("RGB", size, "red"), "PNG")).pixels.shape == (224, 224, 3)


def test_squash_uses_the_whole_image() -> None:
    wide = Image.new("RGB", (400, 100), "white")
    wide.paste("red", (0, 0, 50, 100))
    squashed = decoder_for(PreprocessSpec(224, 224, "squash")).decode(encoded(wide, "PNG"))
    cropped = decoder_for(SPEC).decode(encoded(wide, "PNG"))
    assert (squashed.pixels[:, 5] == (255, 0, 0)).all()
    assert (cropped.pixels[:, 5] == 255).all()


def test_the_exif_orientation_of_a_heic_is_ignored(decoder: PillowDecoder) -> None:
    """libheif applies the rotation in the container. The tag may only repeat it (ISO/IEC 23008-12, annex A.2.2)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    small = photo().resize((320, 240))
    image = decoder.decode(encoded(small, "HEIF", quality=95, exif=exif))
    assert (image.width, image.height, image.format) == (320, 240, "HEIF")
    assert mean_difference(image.pixels, decoder.decode(encoded(small, "PNG")).pixels) < 4


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_truncated_file_is_decoded_as_far_as_possible_if_allowed(
    file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", False)  # the decoder sets it globally
    whole = encoded(photo(), file_format)
    tolerant = decoder_for(SPEC, allow_truncated=True)
    image = tolerant.decode(whole[: len(whole) * 2 // 3])
    assert mean_difference(image.pixels[:100], tolerant.decode(whole).pixels[:100]) < 5
