"""Converts images of every mode and color space to 8-bit sRGB, on white."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from numpy.typing import NDArray

# These modes are resized first and converted to RGB afterwards, when there are fewer pixels.
_RESIZABLE = {"RGB", "L", "CMYK", "YCbCr", "LAB"}
# Profiles of printing presses have a few megabytes. Larger ones are ignored.
_MAX_PROFILE_BYTES = 4 * 1024 * 1024
_PROFILED = {"RGB", "L", "CMYK"}
_SRGB = ImageCms.createProfile("sRGB")


def flatten(image: Image.Image) -> Image.Image:
    """Return the image in a mode that can be resized: on white, 8 bits per channel, without a palette."""
    if image.mode.startswith("I"):
        return Image.fromarray(_from_integers(np.asarray(image)))
    if image.mode == "F":
        return Image.fromarray(_from_floats(np.asarray(image)))
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode in _RESIZABLE else image.convert("RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a flattened image in sRGB, using its ICC profile if that is usable. Call it on the resized image."""
    transform = None
    if image.mode == "LAB":
        transform = _from_lab()
    elif profile and image.mode in _PROFILED and len(profile) <= _MAX_PROFILE_BYTES:
        transform = _from_profile(profile, image.mode)
    return image.convert("RGB") if transform is None else transform.apply(image)


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _SRGB, "LAB", "RGB")


@lru_cache(maxsize=8)  # most images have one of a few profiles
def _from_profile(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform to sRGB; None if the profile is sRGB, damaged, or for another mode."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.buildTransform(source, _SRGB, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _from_integers(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    # convert("RGB") clips 16-bit gray to white (python-pillow/Pillow#3011).
    gray: NDArray[np.uint8] = (np.clip(values.astype(np.int32), 0, 65_535) >> 8).astype(np.uint8)
    return gray


def _from_floats(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    # Floats have no standard range. Guess white: 1 by convention, or the maximum of an integer format.
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    white = next((limit for limit in (1.0, 255.0, 65_535.0) if top <= limit), top)
    gray: NDArray[np.uint8] = (np.clip(values / white, 0.0, 1.0) * 255).astype(np.uint8)
    return gray


def _on_white(image: Image.Image) -> Image.Image:
    # convert("RGB") would drop the alpha channel and show the color of transparent pixels.
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")
