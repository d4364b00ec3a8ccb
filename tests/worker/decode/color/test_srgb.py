"""Color: images of every mode and profile are converted to the sRGB that a viewer shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support.decoding import decoder_for
from tests.support.pictures import encoded, photo
from tests.support.profiles import BLUE, GREEN, RED, gamma, rgb_profile
from tests.worker.decode.color.patches import cicp, fields_of, picture, png
from worker.spec import PreprocessSpec

SPEC = PreprocessSpec(64, 64)
SQUASHED = PreprocessSpec(32, 48, resize_mode="squash")


def pixels(content: bytes) -> np.ndarray:
    return decoder_for(SPEC).decode(content).pixels.astype(int)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_color_profile_is_applied(file_format: str) -> None:
    """The red of this profile is the green of sRGB, so a red pixel must become green."""
    options = {"quality": 100} if file_format in ("JPEG", "WEBP", "AVIF") else {}
    swapped = encoded(
        Image.new("RGB", (64, 64), "red"), file_format, icc_profile=rgb_profile(GREEN, RED, BLUE), **options
    )
    assert np.abs(pixels(swapped) - (0, 255, 0)).max() < 12


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "YCbCr", "CMYK"])
def test_a_tiff_with_a_profile_looks_like_a_png(mode: str) -> None:
    """Browsers draw no TIFF. A CMYK picture ignores the profile, which is for RGB."""
    swapped = rgb_profile(GREEN, RED, BLUE)
    same = png(mode="RGB") if mode == "CMYK" else png(mode=mode.replace("YCbCr", "RGB"), icc_profile=swapped)
    tiff = encoded(picture(mode), "TIFF", icc_profile=swapped)
    shown, expected = (fields_of(decoder_for(SQUASHED).decode(content).pixels) for content in (tiff, same))
    assert np.abs(shown - expected).max() <= 3


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
def test_an_srgb_profile_changes_nothing(mode: str) -> None:
    """Most images have it. It is known by its curves and primaries, and skips the conversion."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = photo().resize((256, 192)).convert(mode)
    unnamed = srgb.replace("sRGB".encode("utf-16-be"), "abcd".encode("utf-16-be"))
    assert unnamed != srgb
    for profile in (srgb, unnamed):
        assert np.array_equal(pixels(encoded(plain, "PNG", icc_profile=profile)), pixels(encoded(plain, "PNG")))


@pytest.mark.parametrize(
    "broken",
    [b"x", b"", rgb_profile(GREEN, RED, BLUE)[:200], bytes(128), rgb_profile(GREEN, RED, BLUE) + bytes(5_000_000)],
    ids=["one byte", "empty", "truncated", "zeros", "too long"],
)
def test_an_unusable_profile_is_ignored(broken: bytes) -> None:
    assert np.array_equal(pixels(encoded(photo(), "TIFF", icc_profile=broken)), pixels(encoded(photo(), "TIFF")))


def test_hidden_colors_do_not_bleed() -> None:
    """Transparent red beside opaque white is white, also where a color space delays the compositing."""
    values = np.full((64, 64, 4), 255, np.uint8)
    values[:, 32:] = (255, 0, 0, 0)
    content = encoded(Image.fromarray(values), "PNG", icc_profile=rgb_profile(curve=gamma(1.0)))
    assert decoder_for(PreprocessSpec(9, 9)).decode(content).pixels.min() == 255


@pytest.mark.parametrize("codes", [(12, 13), (12, 8), (9, 14), (1, 1), (9, 16), (9, 18)], ids=str)
def test_a_heic_follows_its_nclx(codes: tuple[int, int]) -> None:
    """Chromium draws no HEIC. A PNG that states the same space has the same colors, but for its camera curves."""
    primaries, transfer = codes
    options: dict[str, Any] = {"color_primaries": primaries, "transfer_characteristics": transfer}
    heic = encoded(picture(), "HEIF", quality=100, chroma=444, save_nclx_profile=True, **options)
    same = png(cicp(primaries, 13 if transfer in (1, 14) else transfer))
    shown, expected = (fields_of(decoder_for(SQUASHED).decode(content).pixels) for content in (heic, same))
    assert np.abs(shown - expected).max() <= 4  # PQ turns one level of HEVC's loss into four


def test_a_lab_image_looks_the_same() -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = to_lab.apply(photo())
    assert lab.mode == "LAB"
    assert np.abs(pixels(encoded(lab, "TIFF")) - pixels(encoded(photo(), "TIFF"))).mean() < 3


@pytest.mark.parametrize("top", [1.0, 255.0, 65_535.0, 1e6])
def test_a_float_image_looks_the_same_in_every_range(top: float) -> None:
    grays = np.asarray(photo().convert("L")).astype(np.float32)
    floats = Image.fromarray(grays / grays.max() * top)
    integers = Image.fromarray((grays / grays.max() * 255).astype(np.uint8))
    assert np.abs(pixels(encoded(floats, "TIFF")) - pixels(encoded(integers, "PNG"))).mean() < 2


def test_nan_and_infinity_are_black() -> None:
    values = np.full((64, 64), np.nan, np.float32)
    values[:32] = np.inf
    assert not pixels(encoded(Image.fromarray(values), "TIFF")).any()
