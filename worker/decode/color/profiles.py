"""Reads ICC profiles (ICC.1:2022): which of them say something about the pixels, and what.

A profile is judged by its tags, never by its name or class, as skcms judges it for Chromium. LittleCMS converts.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from worker.decode.color.cicp import png_space
from worker.decode.limits import MAX_PROFILE_BYTES

if TYPE_CHECKING:
    from worker.decode.color.transfer import RgbSpace

_HEADER_BYTES, _MAX_TAGS, _CURVE_BYTES = 128, 100, 40
_NEWEST_VERSION = 4
# The mode of Pillow for each kind of device.
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
# A profile that moves no color by more than one level is sRGB itself (skcms_ApproximatelyEqualProfiles).
_SAME = 1


def profile_space(profile: bytes) -> ImageCms.ImageCmsTransform | RgbSpace | None:
    """Return how to convert pixels with this profile, which comes from a stranger, to sRGB.

    Returns:
        A transform from the profile's mode: RGB, L or CMYK; or the space that the profile states by numbers; or None
        if the profile is sRGB itself or damaged.
    """
    return _space(profile) if states_color(profile) else None  # so that none above the limit of size is kept


@lru_cache(maxsize=16)  # most images carry one of a few profiles, from cameras and phones
def _space(profile: bytes) -> ImageCms.ImageCmsTransform | RgbSpace | None:
    # The four codes follow the head of the tag (9.2.17).
    if space := png_space(_tag_starts(profile).get(b"cicp", b"")[8:12]):
        return None if space.is_srgb else space
    transform = _transform(profile, _MODES[profile[16:20]])
    return None if transform is None or _changes_nothing(transform) else transform


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    # LittleCMS' shortcut for one channel is off by up to ten levels.
    flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    # Browsers ignore the class of a profile. LittleCMS refuses some.
    content = BytesIO(profile[:12] + b"mntr" + profile[16:])
    for intent in (ImageCms.Intent.PERCEPTUAL, ImageCms.Intent.RELATIVE_COLORIMETRIC):
        try:
            content.seek(0)
            return ImageCms.buildTransform(ImageCms.ImageCmsProfile(content), _srgb(), mode, "RGB", intent, flags)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            continue
    return None


def states_color(profile: bytes) -> bool:
    """Return whether browsers use such a profile at all. If not, what else the file states counts."""
    if not _HEADER_BYTES + 4 <= len(profile) <= MAX_PROFILE_BYTES or profile[36:40] != b"acsp":
        return False
    if profile[8] > _NEWEST_VERSION or int.from_bytes(profile[:4], "big") > len(profile):
        return False
    if profile[16:20] not in _MODES or profile[16:24] == b"GRAYLab ":
        return False
    tags = _tag_starts(profile)
    return all(_is_sound(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC", b"kTRC") if name in tags)


def _tag_starts(profile: bytes) -> dict[bytes, bytes]:
    """Return the first bytes of each tag (7.3): enough for the numbers of a curve."""
    count = int.from_bytes(profile[_HEADER_BYTES : _HEADER_BYTES + 4], "big")
    end = _HEADER_BYTES + 4 + 12 * min(count, _MAX_TAGS)
    entries = (profile[at : at + 8] for at in range(_HEADER_BYTES + 4, end, 12))
    offsets = {entry[:4]: int.from_bytes(entry[4:], "big") for entry in entries}
    return {name: profile[offset : offset + _CURVE_BYTES] for name, offset in offsets.items()}


def _is_sound(curve: bytes) -> bool:
    """Return whether skcms accepts the numbers of a parametric curve (10.18). LittleCMS draws nonsense with others."""
    if curve[:4] != b"para":
        return True
    g, a, b, c, d = (int.from_bytes(curve[at : at + 4], "big", signed=True) for at in range(12, 32, 4))
    match int.from_bytes(curve[8:10], "big"):
        case 0:
            return g >= 0
        case 1 | 2:  # they bend at -b/a
            return g >= 0 and a > 0 and b <= 0
        case 3 | 4:
            return min(g, a, c, d) >= 0
    return False


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return whether a transform of RGB keeps a grid of 4,096 colors."""
    if transform.input_mode != "RGB":
        return False
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    converted = np.asarray(transform.apply(Image.fromarray(grid)))
    return int(np.abs(converted.astype(np.int16) - grid).max()) <= _SAME


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    """Return sRGB as a profile of version 2: with version 4, LittleCMS compensates for black, which browsers do not."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return ImageCms.ImageCmsProfile(BytesIO(profile[:8] + b"\x02" + profile[9:]))
