"""One still picture out of an image file: what Pillow shall decode, and what to do with the pixels afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from worker.decode.geometry import UPRIGHT, Orientation

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pillow's modes for pictures whose transparent color has two bytes for each sample.
_GRAY_16_MODES = ("I;16", "I;16B", "I")
_LOW_BYTES = "RGB;16L"  # reads the second byte of each big-endian sample


@dataclass(frozen=True)
class Screen:
    """The area of an animation, and the place of the first frame on it. Everything around the frame is transparent.

    Attributes:
        width, height: The size of the area in pixels.
        left, top: The position of the frame in pixels.
    """

    width: int
    height: int
    left: int
    top: int


@dataclass(frozen=True)
class Still:
    """The picture of a file that a browser shows first.

    Attributes:
        content: An image file for Pillow with this picture alone, without metadata.
        orientation: How to turn the picture upright.
        screen: The animation that the picture is a smaller frame of, or None.
        transparent: The color that stands for transparent pixels, one or three samples of 16 bits, or None.
        profile: The ICC profile, if `content` no longer has it.
        original: The whole file, whose metadata state the color space.
    """

    content: bytes
    orientation: Orientation = UPRIGHT
    screen: Screen | None = None
    transparent: tuple[int, ...] | None = None
    profile: bytes | None = None
    original: bytes = b""

    def complete(self, image: Image.Image) -> Image.Image:
        """Return the loaded image with its transparent color made transparent, on its screen."""
        if self.transparent:
            image = self._without_color(image, self.transparent)
        return image if self.screen is None else _placed(image, self.screen)

    def _without_color(self, image: Image.Image, color: tuple[int, ...]) -> Image.Image:
        if image.mode in _GRAY_16_MODES:
            values = np.asarray(image)
            image, hidden = Image.fromarray((values >> 8).astype(np.uint8)), values == color[0]
        else:
            samples = _samples_16(self.content, image)
            hidden = (samples[..., 0] == color[0]) & (samples[..., 1] == color[1]) & (samples[..., 2] == color[2])
        alpha = Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8))
        return Image.merge(image.mode + "A", (*image.split(), alpha))


def _samples_16(content: bytes, image: Image.Image) -> NDArray[np.uint16]:
    """Return all 16 bits of each sample of an RGB picture, of which Pillow keeps the upper eight."""
    with Image.open(BytesIO(content), formats=("PNG",)) as lower:
        lower.tile = [(*tile[:3], _LOW_BYTES) for tile in lower.tile]  # type: ignore[misc]
        samples: NDArray[np.uint16] = np.asarray(image).astype(np.uint16) << 8 | np.asarray(lower)
    return samples


def _placed(image: Image.Image, screen: Screen) -> Image.Image:
    area = Image.new("RGBA", (screen.width, screen.height))
    area.paste(image.convert("RGBA"), (screen.left, screen.top))
    return area
