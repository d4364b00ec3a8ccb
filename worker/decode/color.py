"""Converts images of any mode and color space to 8-bit sRGB, composited on white."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Images in these modes are resized first and converted to RGB afterwards, when they have fewer pixels.
_RESIZABLE_MODES = {"RGB", "L", "CMYK", "YCbCr", "LAB"}
_MODES_WITH_PROFILE = {"RGB", "L", "CMYK"}
# Profiles of printing presses take a few megabytes. Larger ones are ignored, since parsing them costs too much.
_MAX_PROFILE_BYTES = 4 * 1024 * 1024
_SRGB = ImageCms.createProfile("sRGB")


def flatten(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits per channel, without palette or transparency, so that it can be resized."""
    if image.mode.startswith("I"):
        return Image.fromarray(_scale_integers(np.asarray(image)))
    if image.has_transparency_data:
        return _composite_on_white(image.convert("RGBA"))
    return image if image.mode in _RESIZABLE_MODES else image.convert("RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a flattened image to sRGB. Call it after resizing, since the cost grows with the number of pixels.

    Args:
        image: An image that `flatten` returned.
        profile: The file's ICC profile, if it has one. It is ignored if it cannot be used.
    """
    transform = None
    if image.mode == "LAB":
        transform = _lab_transform()
    elif profile and image.mode in _MODES_WITH_PROFILE and len(profile) <= _MAX_PROFILE_BYTES:
        transform = _profile_transform(profile, image.mode)
    return image.convert("RGB") if transform is None else transform.apply(image)


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _SRGB, "LAB", "RGB")


@lru_cache(maxsize=8)  # most images carry one of a few profiles, from cameras and phones
def _profile_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return None if the profile is sRGB itself, is damaged, or belongs to another mode."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.buildTransform(source, _SRGB, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _scale_integers(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    # convert("RGB") clips 16-bit gray values to white (python-pillow/Pillow#3011). Chromium takes the high byte too.
    grays: NDArray[np.uint8] = (np.clip(values.astype(np.int32), 0, 65_535) >> 8).astype(np.uint8)
    return grays


def _composite_on_white(image: Image.Image) -> Image.Image:
    # convert("RGB") would drop the alpha channel and show the colors of transparent pixels.
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")
