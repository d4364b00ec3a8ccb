"""One still picture out of an image file: what Pillow shall decode, and what to do with the pixels afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops

from worker.decode.geometry import UPRIGHT, Orientation

if TYPE_CHECKING:
    from collections.abc import Sequence

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
            alpha = Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8))
        else:
            alpha = self._alpha_of_wide(image, color)
        return Image.merge(image.mode + "A", (*image.split(), alpha))

    def _alpha_of_wide(self, image: Image.Image, color: tuple[int, ...]) -> Image.Image:
        """Return the opacity of an RGB picture of 16 bits, of which Pillow keeps the upper eight."""
        alpha = _opaque_unless(image, [sample >> 8 for sample in color])
        if alpha.getextrema()[0]:
            return alpha  # nothing comes near the transparent color
        with Image.open(BytesIO(self.content), formats=("PNG",)) as lower:
            lower.tile = [(*tile[:3], _LOW_BYTES) for tile in lower.tile]  # type: ignore[misc]
            return ImageChops.lighter(alpha, _opaque_unless(lower, [sample & 0xFF for sample in color]))


def _opaque_unless(image: Image.Image, color: Sequence[int]) -> Image.Image:
    """Return an opacity of 0 for the pixels of an RGB picture that have this color, else 255."""
    bands = [
        band.point([255 * (level != sample) for level in range(256)])
        for band, sample in zip(image.split(), color, strict=True)
    ]
    return ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])


def _placed(image: Image.Image, screen: Screen) -> Image.Image:
    area = Image.new("RGBA", (screen.width, screen.height))
    area.paste(image.convert("RGBA"), (screen.left, screen.top))
    return area
