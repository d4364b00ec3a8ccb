"""Brings pictures of every mode and colour space to 8-bit sRGB, on white."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Modes that resize as they are and turn into RGB afterwards, on fewer pixels.
_RESIZABLE = {"RGB", "L", "CMYK", "YCbCr", "LAB"}
# Profiles of printing presses have megabytes; larger ones are not worth their parsing.
_MAX_PROFILE_BYTES = 4 * 1024 * 1024
_PROFILED = {"RGB", "L", "CMYK"}
_SRGB = ImageCms.createProfile("sRGB")


def flatten(image: Image.Image) -> Image.Image:
    """Return the picture in a mode that can be resized: on white, 8 bits a channel, no palette."""
    if image.mode.startswith("I"):
        return Image.fromarray(_from_integers(np.asarray(image)))
    if image.mode == "F":
        return Image.fromarray(_from_floats(np.asarray(image)))
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode in _RESIZABLE else image.convert("RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a flattened picture in sRGB, by its ICC profile where it has a usable one. Meant for few pixels."""
    transform = None
    if image.mode == "LAB":
        transform = _from_lab()
    elif profile and image.mode in _PROFILED and len(profile) <= _MAX_PROFILE_BYTES:
        transform = _from_profile(profile, image.mode)
    return image.convert("RGB") if transform is None else transform.apply(image)


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _SRGB, "LAB", "RGB")


@lru_cache(maxsize=8)  # most pictures have one of a few: those of cameras and phones
def _from_profile(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return None for a profile that is sRGB itself, that is damaged, or that belongs to another mode."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return None
        return ImageCms.buildTransform(source, _SRGB, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _from_integers(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    # convert("RGB") clips 16-bit greys to white (python-pillow/Pillow#3011).
    greys: NDArray[np.uint8] = (np.clip(values.astype(np.int32), 0, 65_535) >> 8).astype(np.uint8)
    return greys


def _from_floats(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    # Floats have no agreed range: 0 to 1 by custom, else that of the integers they came from.
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    white = next((limit for limit in (1.0, 255.0, 65_535.0) if top <= limit), top)
    greys: NDArray[np.uint8] = (np.clip(values / white, 0.0, 1.0) * 255).astype(np.uint8)
    return greys


def _on_white(image: Image.Image) -> Image.Image:
    # convert("RGB") would drop the alpha channel and show whatever colour lies under it.
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")
