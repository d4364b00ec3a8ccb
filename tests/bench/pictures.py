"""Pictures to measure with: made from the project's photographs, so that they cost what photos cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from tests.support.pictures import PHOTOS, encoded

if TYPE_CHECKING:
    from pathlib import Path

# A file's ending and what Pillow is told when it writes one.
FORMATS = {
    "jpeg": ("JPEG", {"quality": 85}),
    "png": ("PNG", {"compress_level": 6}),
    "webp": ("WEBP", {"quality": 80}),
}


def photo(number: int, size: tuple[int, int]) -> Image.Image:
    """Return picture `number` of this size: a part of a photograph, with a little noise, as sensors have it."""
    paths = sorted(PHOTOS.iterdir())
    rng = np.random.default_rng(number)
    with Image.open(paths[number % len(paths)]) as image:
        whole = image.convert("RGB")
    left, top = (int(rng.uniform(0, 0.2) * side) for side in whole.size)
    part = ImageOps.fit(whole.crop((left, top, *whole.size)), size, Image.Resampling.BICUBIC)
    noisy = np.asarray(part, np.int16) + rng.integers(-4, 5, (*part.size[::-1], 3), dtype=np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def photo_file(number: int, size: tuple[int, int], kind: str) -> bytes:
    """Return picture `number` as a file; `kind` is one of `FORMATS`."""
    file_format, options = FORMATS[kind]
    return encoded(photo(number, size), file_format, **options)


def write_photos(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Write `count` JPEGs of this size to `folder`, and return it."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:04}.jpg").write_bytes(photo_file(number, size, "jpeg"))
    return folder
