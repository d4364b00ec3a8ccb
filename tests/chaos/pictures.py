"""The pictures that the image server serves: small JPEGs, each different from all others and the same in each run."""

from __future__ import annotations

from functools import cache

from PIL import Image

from tests.support.pictures import EMOJI, encoded

COUNT = 24


@cache
def picture(number: int) -> bytes:
    """Return the picture with this number, from 0 to COUNT - 1, as a JPEG of 64x64 pixels."""
    path = sorted(EMOJI.glob("*.png"))[number]
    with Image.open(path) as image:
        rgba = image.convert("RGBA")
    background = Image.new("RGBA", rgba.size, "white")
    background.alpha_composite(rgba)
    return encoded(background.convert("RGB"), "JPEG", quality=85)
