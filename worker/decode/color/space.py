"""Finds the color space that an image file states, in the order in which browsers look for it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from PIL.ImageCms import ImageCmsTransform

from worker.decode.color.avif import avif_space
from worker.decode.color.cicp import heif_space
from worker.decode.color.png import color_chunks, first_choice, last_choice
from worker.decode.color.profiles import profile_space, states_color
from worker.decode.color.transfer import RgbSpace

if TYPE_CHECKING:
    from PIL import Image

# Offsets in a BMP file.
_BMP_HEADER_AT, _BMP_KIND_AT, _BMP_PROFILE_AT = 14, 70, 126
_BMP_V5_BYTES = 124


# What converts pixels to sRGB: an ICC profile's transform, or the numbers of an RGB space.
Space = ImageCmsTransform | RgbSpace


def stated_space(image: Image.Image, content: bytes, profile: bytes | None = None) -> Space | None:
    """Return the color space that an image file states, or None if that is sRGB, cannot be used, or is not stated.

    EXIF's ColorSpace and interoperability index are not read, as browsers do not.

    Args:
        image: The opened image.
        content: The file, with all its metadata.
        profile: The file's ICC profile, if Pillow has not read it.
    """
    profile = profile or image.info.get("icc_profile") or b""
    if image.format == "PNG":
        return _png_space(profile, content)
    if image.format == "BMP":
        profile = _bmp_profile(content)
    if profile:
        return profile_space(profile)
    return _unless_srgb(_space_of_numbers(image, content))


def _png_space(profile: bytes, content: bytes) -> Space | None:
    chunks = color_chunks(content)
    if space := first_choice(chunks):
        return _unless_srgb(space)
    return profile_space(profile) if states_color(profile) else last_choice(chunks)


def _space_of_numbers(image: Image.Image, content: bytes) -> RgbSpace | None:
    if image.format == "AVIF":
        return avif_space(content)
    codes = image.info.get("nclx_profile")  # HEIF
    return heif_space(codes["color_primaries"], codes["transfer_characteristics"]) if codes else None


def _unless_srgb(space: RgbSpace | None) -> RgbSpace | None:
    return None if space is None or space.is_srgb else space


def _bmp_profile(content: bytes) -> bytes:
    """Return the profile that a header of the form BITMAPV5HEADER embeds, which Pillow does not read."""
    size, kind = content[_BMP_HEADER_AT : _BMP_HEADER_AT + 4], content[_BMP_KIND_AT : _BMP_KIND_AT + 4]
    if int.from_bytes(size, "little") != _BMP_V5_BYTES or kind != b"DEBM":  # PROFILE_EMBEDDED
        return b""
    start, length = struct.unpack_from("<2I", content, _BMP_PROFILE_AT)
    return content[_BMP_HEADER_AT + start : _BMP_HEADER_AT + start + length]
