"""Turns the samples of a TIFF into an image of 8 bits, as a viewer shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from worker.decode.tiff.layout import CIELAB, CMYK, ICCLAB, PALETTE, WHITE_IS_ZERO
from worker.decode.tiff.samples import read_bands

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from worker.decode.tiff.layout import Layout

    Bytes = NDArray[np.uint8]
    Samples = NDArray[np.number]

_BYTE, _MAX_BYTE = 8, 255
_KEPT_BYTES = 64 * 1024 * 1024
_FINITE = 1e300  # larger numbers are damaged, and their sum would not be finite


def read_image(layout: Layout, content: bytes) -> Image.Image:
    """Return the image in mode L, RGB, CMYK or LAB, composited on white, and not turned upright.

    Raises:
        OSError, ValueError, IndexError, SyntaxError: The file is damaged or truncated.
    """
    bands: Iterable[Samples] = _Bands(layout, content)
    if layout.wide and layout.width * layout.height * layout.samples * layout.bits // 8 <= _KEPT_BYTES:
        bands = list(bands)  # these are gone through twice
    white = _white(layout, bands) if layout.wide else 0.0
    channels = 3 if layout.photometric == PALETTE else layout.colors
    pixels = np.empty((layout.height, layout.width, channels), np.uint8)
    row = 0
    for band in bands:
        pixels[row : row + len(band)] = _pixels(layout, band, white)
        row += len(band)
    if channels == 1:
        return Image.fromarray(pixels[:, :, 0])
    mode = {CMYK: "CMYK", CIELAB: "LAB", ICCLAB: "LAB"}.get(layout.photometric, "RGB")
    return Image.frombytes(mode, (layout.width, layout.height), pixels.tobytes())


@dataclass(frozen=True)
class _Bands:
    """The bands of an image, which are read again each time."""

    layout: Layout
    content: bytes

    def __iter__(self) -> Iterator[Samples]:
        return read_bands(self.layout, self.content)


def _white(layout: Layout, bands: Iterable[Samples]) -> float:
    """Return the value that is shown as white.

    No standard fixes it for floats. Most files use 0 to 1, sometimes a little or, with high dynamic range, far above;
    others keep the range of integers of 8 or 16 bits, and so do some files of 32-bit integers.
    """
    total, count, highest = 0.0, 0, 0.0
    for band in bands:
        values = _finite(band[:, :, : layout.colors])
        total, count = total + float(values.sum(dtype=np.float64)), count + values.size
        highest = max(highest, float(values.max(initial=0)))
    if layout.kind == "f" and total <= count:  # the mean tells the range even if single values are higher
        return 1.0
    full = float(np.iinfo(f"u{layout.bits // 8}").max) if layout.kind != "f" else highest
    return next((limit for limit in (255.0, 65_535.0) if highest <= limit), full)


def _finite(values: Samples) -> Samples:
    """Return the values without negative ones. Those that are no number, or infinite, become 0."""
    if values.dtype.kind != "f":
        return np.clip(values, 0, None)
    values = np.fmax(values, values.dtype.type(0))  # fmax takes any number rather than NaN
    if float(values.max(initial=0)) > _FINITE:
        values[np.isinf(values)] = 0
        if values.dtype == np.float64:
            np.minimum(values, _FINITE, out=values)
    return values


def _pixels(layout: Layout, band: Samples, white: float) -> Bytes:
    """Return the pixels of a band in 8 bits: (rows, width, channels)."""
    if layout.photometric == PALETTE:
        return _palette(layout)[np.asarray(band[:, :, 0], np.intp)]
    if layout.photometric in (CIELAB, ICCLAB):
        return _lab(layout, band)
    values = _eight_bits(layout, band, white)
    colors = values[:, :, : layout.colors]
    if layout.photometric == WHITE_IS_ZERO:
        colors = 255 - colors
    if layout.alpha is None or layout.photometric == CMYK:
        return colors
    return _on_white(colors, values[:, :, layout.colors :], associated=layout.associated)


def _eight_bits(layout: Layout, values: Samples, white: float) -> Bytes:
    """Return the highest 8 bits, as Chromium and libvips do, or the share of white of 32 bits and floats."""
    if white:
        values = _finite(values)
        shares = np.true_divide(values, white, out=values if values.dtype.kind == "f" else None)
        np.minimum(shares, 1.0, out=shares)
        shares *= _MAX_BYTE
        return np.rint(shares, out=shares).astype(np.uint8)
    if layout.bits == _BYTE:
        return values.view(np.uint8)
    integers = np.clip(values, 0, None).astype(np.uint16, copy=False)
    if layout.bits < _BYTE:
        return (integers * 255 // ((1 << layout.bits) - 1)).astype(np.uint8)
    return (integers >> (layout.bits - _BYTE)).astype(np.uint8)


def _palette(layout: Layout) -> Bytes:
    """Return the colors of the palette: (colors, 3). They have 16 bits; some programs write 8."""
    values = np.array(layout.palette).reshape(3, -1).T
    return (values >> 8 if values.max() > _MAX_BYTE else values).astype(np.uint8)


def _lab(layout: Layout, band: Samples) -> Bytes:
    """Return Pillow's form of L*a*b*: L* from 0 to 255, and a* and b* as signed bytes.

    In 16 bits, L* is a fraction of 65,535 and a* and b* are 256 times larger, so the high byte is the value in 8 bits.
    ICC L*a*b* adds 128 to a* and b* (Adobe PageMaker 6.0 TIFF Technical Notes; TIFF Technical Note 4).
    """
    values = band[:, :, :3]
    if layout.kind == "f":
        scaled = np.nan_to_num(values.astype(np.float32)) * np.array([2.55, 1, 1], np.float32)
        clipped = np.clip(np.rint(scaled), [0, -128, -128], [255, 127, 127])
        return clipped.astype(np.int16).astype(np.uint8)
    size = layout.bits // 8
    high = np.ascontiguousarray(values).view(f"u{size}") >> (layout.bits - _BYTE)
    offset = 128 if layout.photometric == ICCLAB else 0
    return np.bitwise_xor(np.asarray(high, np.uint8), np.array([0, offset, offset], np.uint8))


def _on_white(colors: Bytes, alpha: Bytes, *, associated: bool) -> Bytes:
    opacity = alpha.astype(np.uint32)
    lit = colors.astype(np.uint32) * (_MAX_BYTE if associated else opacity)
    composed = (lit + _MAX_BYTE * (_MAX_BYTE - opacity) + _MAX_BYTE // 2) // _MAX_BYTE
    return np.asarray(np.minimum(composed, _MAX_BYTE), np.uint8)
