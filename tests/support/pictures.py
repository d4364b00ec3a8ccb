"""Images for the tests: the samples that ship with the project, and files made in memory."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SAMPLES = Path(__file__).parents[2] / "producer" / "local" / "samples"
PHOTOS = SAMPLES / "photos"
EMOJI = SAMPLES / "emoji"


def photo() -> Image.Image:
    """Return a photo of 1024x768 pixels in RGB."""
    with Image.open(PHOTOS / "raccoon.webp") as image:
        return image.convert("RGB")


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return the image as a file of this format."""
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def small_jpeg(seed: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    """Return a small JPEG, different for each seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise).resize(size), "JPEG", quality=80)
