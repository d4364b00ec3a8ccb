"""Converts images of any mode and color space to 8-bit sRGB, composited on white."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from worker.decode.color.transfer import RgbSpace, rgb_to_srgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.decode.color.space import Space

# Images in these modes are resized first and converted to RGB afterwards, when they have fewer pixels.
_RESIZABLE_MODES = {"RGB", "L", "CMYK", "YCbCr", "LAB"}
_GRAY_MODES = {"1", "L", "LA", "La"}


def flatten(image: Image.Image, space: Space | None = None) -> Image.Image:
    """Return the image with 8 bits per channel and without palette, so that it can be resized.

    Transparent images are composited on white. With a color space they keep their transparency until `to_srgb`, since
    browsers composite the converted colors.
    """
    if image.mode.startswith("I"):
        return Image.fromarray(_scale_integers(np.asarray(image)))
    if image.has_transparency_data:
        return _composite_on_white(image.convert("RGBA")) if space is None else _premultiplied(image)
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in _RESIZABLE_MODES else image.convert("RGB")


def to_srgb(image: Image.Image, space: Space | None) -> Image.Image:
    """Convert a flattened image to sRGB. Call it after resizing, since the cost grows with the number of pixels.

    Args:
        image: An image that `flatten` returned for the same `space`.
        space: What the file states, from `stated_space`. It is ignored if it cannot be used.
    """
    if image.mode in ("RGBa", "La"):
        straight = image.convert(image.mode.upper())
        opaque = to_srgb(straight.convert(straight.mode[:-1]), space)
        opaque.putalpha(straight.getchannel("A"))
        return _composite_on_white(opaque)
    if image.mode == "LAB":
        return _lab_transform().apply(image)
    if space is None or image.mode == "YCbCr":
        image = image.convert("RGB")
    if space is None:
        return image
    return _from_numbers(image, space) if isinstance(space, RgbSpace) else _from_profile(image, space)


def _from_numbers(image: Image.Image, space: RgbSpace) -> Image.Image:
    rgb = image.convert("RGB")
    # Numbers describe RGB. A printer's inks need a profile.
    return rgb if image.mode == "CMYK" else Image.fromarray(rgb_to_srgb(np.asarray(rgb), space))


def _from_profile(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    if image.mode == "L" and transform.input_mode in ("L", "RGB"):  # color profiles hold for gray images too
        grays = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        table = np.asarray(transform.apply(grays.convert(transform.input_mode)))[0]
        return Image.fromarray(table[np.asarray(image)])
    return transform.apply(image) if image.mode == transform.input_mode else image.convert("RGB")


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    srgb = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), srgb, "LAB", "RGB")


def _premultiplied(image: Image.Image) -> Image.Image:
    # Resizing must not let the hidden colors of transparent pixels bleed into their neighbours.
    gray = image.mode in _GRAY_MODES
    return image.convert("LA" if gray else "RGBA").convert("La" if gray else "RGBa")


def _scale_integers(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    # convert("RGB") clips 16-bit gray values to white (python-pillow/Pillow#3011). Chromium takes the high byte too.
    grays: NDArray[np.uint8] = (np.clip(values.astype(np.int32), 0, 65_535) >> 8).astype(np.uint8)
    return grays


def _composite_on_white(image: Image.Image) -> Image.Image:
    # convert("RGB") would drop the alpha channel and show the colors of transparent pixels.
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")
