"""Opens TIFF files: chooses the page that is the picture, and who reads it.

Pillow reads most files. Those that it reads wrong or not at all are read by `worker.decode.tiff.pixels`; the error for
the rest names what is special about them.
"""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from worker.decode.geometry import ORIENTATIONS, UPRIGHT
from worker.decode.limits import check_tile
from worker.decode.tiff.layout import (
    CMYK,
    NO_COMPRESSION,
    PALETTE,
    RGB,
    WEBP,
    WHITE_IS_ZERO,
    YCBCR,
    NotSamples,
    Tag,
    number,
    numbers,
    read_layout,
)
from worker.decode.tiff.names import unreadable
from worker.decode.tiff.pages import picture_page
from worker.decode.tiff.pixels import read_image
from worker.decode.tiff.samples import BYTE_COMPRESSIONS

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    from worker.decode.limits import DecodeLimits
    from worker.decode.tiff.layout import Layout

_BIG_ENDIAN_BIG_TIFF = b"MM\0+"  # Pillow takes it for a TIFF of another layout
# Samples of 8 bits are Pillow's field; of 16 bits it takes the high byte.
_BYTE, _SHORT = 8, 16
_RGB_SAMPLES = (3, 4)
_MAX_BYTE = 255


def open_tiff(content: bytes, limits: DecodeLimits) -> Image.Image:
    """Return the picture of a TIFF. Pillow's has not been loaded, another one is complete and upright.

    Raises:
        UnsupportedFormat: The file is sound, but nothing here reads its kind.
        CorruptImage, OSError, SyntaxError, ValueError, ...: The file is damaged.
        TooManyPixels: The image exceeds the limit that the error names.
    """
    content, directory = picture_page(content)
    layout = _own_layout(directory)
    if layout and (content.startswith(_BIG_ENDIAN_BIG_TIFF) or _pillow_misreads(layout)):
        return _read(layout, directory, content, limits)
    try:
        image = _open_by_pillow(directory, content)
    except UnidentifiedImageError:
        if layout:
            return _read(layout, directory, content, limits)
        raise unreadable(directory) from None
    image.info.pop("xmp", None)  # or Pillow would turn the image by it; no viewer of TIFF does
    return image


def _own_layout(directory: ImageFileDirectory_v2) -> Layout | None:
    """Return the layout if the samples can be read without Pillow."""
    try:
        layout = read_layout(directory)
    except (NotSamples, ValueError):
        return None
    webp = (
        layout.compression == WEBP and layout.bits == _BYTE and layout.samples in _RGB_SAMPLES and not layout.separate
    )
    return layout if webp or layout.compression in BYTE_COMPRESSIONS else None


def _pillow_misreads(layout: Layout) -> bool:
    """Return whether Pillow opens a file of this layout and shows it wrong, or fails to load it."""
    plain = layout.kind == "u" and not layout.reversed_bits and not layout.separate
    if layout.bits == _SHORT:
        return not (plain and layout.photometric in (RGB, CMYK) and layout.samples in _RGB_SAMPLES)
    if layout.bits > _BYTE or layout.kind != "u" or layout.compression == WEBP:
        return True
    if layout.separate and layout.compression == NO_COMPRESSION:
        return layout.bits < _BYTE or layout.reversed_bits or layout.photometric == WHITE_IS_ZERO
    if layout.photometric == PALETTE:
        return max(layout.palette, default=0) <= _MAX_BYTE
    return layout.colors == 1 and layout.associated


def _read(layout: Layout, directory: ImageFileDirectory_v2, content: bytes, limits: DecodeLimits) -> Image.Image:
    orientation = ORIENTATIONS.get(directory.get(Tag.ORIENTATION, 1), UPRIGHT)
    width, height = orientation.orient_size(layout.width, layout.height)
    limits.check_size(width, height)
    check_tile((layout.chunk_width, layout.chunk_height), (layout.width, layout.height))
    image = orientation.apply(read_image(layout, content))
    image.format = "TIFF"
    with suppress(KeyError):
        image.info["icc_profile"] = directory[Tag.PROFILE]
    return image


def _open_by_pillow(directory: ImageFileDirectory_v2, content: bytes) -> Image.Image:
    """Return the image as Pillow opens it. Raises UnidentifiedImageError."""
    with suppress(ValueError):
        raw = number(directory, Tag.COMPRESSION, NO_COMPRESSION) == NO_COMPRESSION
        if (
            raw
            and number(directory, Tag.PHOTOMETRIC, WHITE_IS_ZERO) == YCBCR
            and set(numbers(directory, Tag.SUBSAMPLING, (2, 2))) != {1}
        ):
            # Pillow's own reader of uncompressed samples knows no subsampling; libtiff does.
            TiffImagePlugin.READ_LIBTIFF = True
    try:
        return Image.open(BytesIO(content), formats=("TIFF",))
    finally:
        TiffImagePlugin.READ_LIBTIFF = False
