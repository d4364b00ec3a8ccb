"""Images for the benchmarks, made from the project's photographs: they decode as slowly as photos do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from tests.support.pictures import PHOTOS, encoded

if TYPE_CHECKING:
    from pathlib import Path

# For each file extension: Pillow's format and its options.
FORMATS = {
    "jpeg": ("JPEG", {"quality": 85}),
    "png": ("PNG", {"compress_level": 6}),
    "webp": ("WEBP", {"quality": 80}),
}


def photo(number: int, size: tuple[int, int]) -> Image.Image:
    """Return image `number` in this size: a part of a photograph with a little noise, as from a sensor."""
    paths = sorted(PHOTOS.iterdir())
    rng = np.random.default_rng(number)
    with Image.open(paths[number % len(paths)]) as image:
        whole = image.convert("RGB")
    left, top = (int(rng.uniform(0, 0.2) * side) for side in whole.size)
    part = ImageOps.fit(whole.crop((left, top, *whole.size)), size, Image.Resampling.BICUBIC)
    noisy = np.asarray(part, np.int16) + rng.integers(-4, 5, (*part.size[::-1], 3), dtype=np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def photo_file(number: int, size: tuple[int, int], kind: str) -> bytes:
    """Return image `number` as a file; `kind` is a key of `FORMATS`."""
    file_format, options = FORMATS[kind]
    return encoded(photo(number, size), file_format, **options)


def write_photos(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Write `count` JPEGs of this size to `folder`, and return the folder."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}.jpg").write_bytes(photo_file(number, size, "jpeg"))
    return folder
