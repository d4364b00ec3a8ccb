"""The pictures that the cluster's server serves: small JPEGs, the same at each run, each unlike all others."""

from __future__ import annotations

from functools import cache

from PIL import Image

from tests.support.pictures import EMOJI, encoded

COUNT = 24


@cache
def picture(number: int) -> bytes:
    """Return the picture of this number, from 0 to COUNT - 1, as a JPEG of 64x64."""
    path = sorted(EMOJI.glob("*.png"))[number]
    with Image.open(path) as image:
        rgba = image.convert("RGBA")
    ground = Image.new("RGBA", rgba.size, "white")
    ground.alpha_composite(rgba)
    return encoded(ground.convert("RGB"), "JPEG", quality=85)
