"""Color: images of every mode and profile are converted to the sRGB that a viewer shows."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support.decoding import decoder_for
from tests.support.pictures import encoded, photo
from worker.spec import PreprocessSpec

SPEC = PreprocessSpec(64, 64)
# The primaries of sRGB, adapted to D50 as in ICC profiles (IEC 61966-2-1).
RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)


def profile(*primaries: tuple[float, float, float], description: str = "test") -> bytes:
    """Return a display profile with three primaries and a gamma of 2.2 (ICC.1:2001-04, sections 6.1 and 6.3)."""
    text = description.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(79),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249),
        **{
            name + b"XYZ": b"XYZ \0\0\0\0" + fixed(*primary)
            for name, primary in zip((b"r", b"g", b"b"), primaries, strict=True)
        },
        **{name + b"TRC": b"curv\0\0\0\0\0\0\0\1\2\x33\0\0" for name in (b"r", b"g", b"b")},
    }
    table, content, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        padded = body + bytes(-len(body) % 4)
        table += name + struct.pack(">II", offset + len(content), len(body))
        content += padded
    rest = struct.pack(">I", len(tags)) + table + content
    head = struct.pack(">I4sI4s4s4s", 128 + len(rest), b"", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + rest


def pixels(content: bytes) -> np.ndarray:
    return decoder_for(SPEC).decode(content).pixels.astype(int)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_color_profile_is_applied(file_format: str) -> None:
    """The red of this profile is the green of sRGB, so a red pixel must become green."""
    options = {"quality": 100} if file_format in ("JPEG", "WEBP", "AVIF") else {}
    swapped = encoded(Image.new("RGB", (64, 64), "red"), file_format, icc_profile=profile(GREEN, RED, BLUE), **options)
    assert np.abs(pixels(swapped) - (0, 255, 0)).max() < 12


def test_an_srgb_profile_changes_nothing() -> None:
    """Most images have it. The decoder detects it by its description and skips the conversion."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = encoded(photo(), "PNG")
    assert np.array_equal(pixels(encoded(photo(), "PNG", icc_profile=srgb)), pixels(plain))


@pytest.mark.parametrize(
    "broken",
    [b"x", b"", profile(RED, GREEN, BLUE)[:200], bytes(128), profile(RED, GREEN, BLUE) + bytes(5_000_000)],
    ids=["one byte", "empty", "truncated", "zeros", "too long"],
)
def test_an_unusable_profile_is_ignored(broken: bytes) -> None:
    assert np.array_equal(pixels(encoded(photo(), "TIFF", icc_profile=broken)), pixels(encoded(photo(), "TIFF")))


def test_a_profile_of_another_color_space_is_ignored() -> None:
    gray = encoded(photo().convert("L"), "PNG", icc_profile=profile(GREEN, RED, BLUE))
    assert np.array_equal(pixels(gray), pixels(encoded(photo().convert("L"), "PNG")))


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
