"""A picture of four colored fields, which shows every turn and mirroring, and what the decoder makes of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tests.support.decoding import decoder_for
from tests.support.pictures import encoded
from worker.spec import PreprocessSpec

if TYPE_CHECKING:
    from typing import Any

WIDTH, HEIGHT = 64, 48
RED, GREEN, BLUE, YELLOW = (220, 40, 30), (30, 180, 60), (40, 60, 210), (240, 210, 40)
WHITE = (255, 255, 255)
_SPEC = PreprocessSpec(96, 96, "squash")


def fields() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the picture, of shape (48, 64, 3): red and green above blue and yellow, with a dark bar."""
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:24, :32], pixels[:24, 32:], pixels[24:, :32], pixels[24:, 32:] = RED, GREEN, BLUE, YELLOW
    pixels[30:44, 40:46] = 10
    return pixels


def without(color: tuple[int, int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the picture as a browser shows it when this field is transparent."""
    pixels = fields()
    pixels[(pixels == color).all(axis=2)] = 255
    return pixels


def assert_shows(content: bytes, expected: np.ndarray[Any, Any], most: float = 1.0) -> None:
    """Check that the decoder makes the same of a file as of a PNG with the pixels that a browser shows."""
    image = decoder_for(_SPEC).decode(content)
    plain = decoder_for(_SPEC).decode(encoded(Image.fromarray(expected), "PNG"))
    assert (image.width, image.height) == (plain.width, plain.height)
    assert np.abs(image.pixels.astype(int) - plain.pixels).mean() < most
