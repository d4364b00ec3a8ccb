"""The error for a TIFF that nothing reads: it names what is special about the file, unless the file is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.decode.tiff.layout import Tag, number, numbers
from worker.errors import CorruptImage, UnsupportedFormat

if TYPE_CHECKING:
    from worker.decode.tiff.layout import Tags

# Numbers of Compression: TIFF 6.0 and its supplements, the registry of libtiff (tiff.h), DNG 1.7, and tifffile's list.
_COMPRESSIONS = {
    6: "old-style JPEG",
    7: "JPEG",
    9: "JBIG",
    10: "JBIG",
    22610: "JPEG XR",
    32766: "NeXT",
    32767: "Sony ARW",
    32769: "Epson ERF",
    32770: "Samsung SRW",
    32908: "Pixar film",
    32909: "Pixar log",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    33007: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34713: "Nikon NEF",
    34715: "JBIG 2",
    34887: "LERC",
    34892: "lossy DNG",
    34933: "PNG",
    34934: "JPEG XR",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
    65535: "Pentax PEF",
}
# Of these Pillow reads the common kinds, so something else is special about the file.
_OFTEN_READ = {1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34925, 50000, 50001}
_COLORS = {
    4: "a transparency mask",
    10: "ITU L*a*b* colors",
    32803: "the raw values of a camera's sensor",
    32844: "LogL values",
    32845: "LogLuv colors",
    34892: "the raw values of a camera's sensor",
    51177: "a depth map",
}
_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_MAX_BITS, _MAX_NUMBER = 64, 65_535  # these tags are 16-bit numbers


def unreadable(tags: Tags) -> UnsupportedFormat | CorruptImage:
    """Return the error for a TIFF with these tags."""
    try:
        return UnsupportedFormat(f"the content is a TIFF with {_special(tags)}, which cannot be decoded")
    except (ValueError, TypeError, KeyError):
        return CorruptImage("the image cannot be decoded: its header is damaged")


def _special(tags: Tags) -> str:
    """Return what is special about a file. Raises ValueError if its tags make no sense."""
    if min(number(tags, Tag.WIDTH), number(tags, Tag.LENGTH)) <= 0 or not (
        Tag.STRIP_OFFSETS in tags or Tag.TILE_OFFSETS in tags
    ):
        raise ValueError("no picture")
    colors, compression = number(tags, Tag.PHOTOMETRIC, 0), number(tags, Tag.COMPRESSION, 1)
    bits, samples = numbers(tags, Tag.BITS, (1,)), number(tags, Tag.SAMPLES, 1)
    if not 0 < compression <= _MAX_NUMBER or not 0 < samples <= _MAX_NUMBER or not 0 < max(bits) <= _MAX_BITS:
        raise ValueError("impossible values")
    if colors in _COLORS:
        return _COLORS[colors]
    if compression not in _OFTEN_READ:
        return f"{_COMPRESSIONS.get(compression, f'unknown ({compression})')} compression"
    kind = _FORMATS.get(max(numbers(tags, Tag.SAMPLE_FORMAT, (1,))), "unknown")
    packed = f" and {_COMPRESSIONS[compression]} compression" if compression in _COMPRESSIONS else ""
    plural = "sample" if samples == 1 else "samples"
    return f"{samples} {kind} {plural} of {max(bits)} bits in color space {colors}{packed}"
