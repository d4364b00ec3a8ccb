"""Converts pixels of an RGB space that a file states by numbers (primaries and a transfer curve) to sRGB.

Curves: ITU-T H.273, table 3, and ITU-R BT.2100-3. Brightness above an SDR screen's white is tone-mapped as Chromium
does it since version 143: SMPTE ST 2094-50, annex C ("reference white tone mapping operator"), read in Skia's
src/codec/SkHdrAgtm.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Curved = NDArray[np.float64]

# The x and y of the white point, then of red, green and blue.
Chromaticities = tuple[float, float, float, float, float, float, float, float]

SDR_WHITE_NITS = 203.0  # what PQ and HLG pictures show as white (ITU-R BT.2408-7)
DEFAULT_PEAK_NITS = 1000.0
BT709: Chromaticities = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
BT2020: Chromaticities = (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)

_LUMA_BT2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_HLG_MIDDLE = 0.5  # below it HLG is a square root, above it a logarithm
_SRGB_KNEE = 0.0031308
# Linear values are rounded to this many steps before a table encodes them. Black keeps steps of less than one level.
_STEPS = 16_384
_MAX_XYZ = 100.0  # of a primary; white has 1.0
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class Curve:
    """A transfer curve: (a x + b) to the power g from x = d on, below that c x. Both x and the result are 0 to 1."""

    g: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0

    def linear(self, x: Curved) -> Curved:
        """Return the light for the encoded values x."""
        with np.errstate(under="ignore"):
            return np.where(x < self.d, self.c * x, np.maximum(self.a * x + self.b, 0.0) ** self.g)


SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


class Hdr(Enum):
    """The curves of ITU-R BT.2100, which show more than the white of an SDR screen."""

    PQ = auto()
    HLG = auto()


@dataclass(frozen=True)
class RgbSpace:
    """An RGB color space that a file states by numbers.

    Attributes:
        primaries: The chromaticities of white, red, green and blue.
        transfer: The curve from stored values to light.
        peak_nits: Brightest light of a PQ or HLG picture, in cd/m2.
    """

    primaries: Chromaticities
    transfer: Curve | Hdr
    peak_nits: float = DEFAULT_PEAK_NITS

    @property
    def is_srgb(self) -> bool:
        """Whether its pixels need no conversion."""
        return (self.primaries, self.transfer) == (BT709, SRGB_CURVE)


def rgb_to_srgb(pixels: NDArray[np.uint8], space: RgbSpace) -> NDArray[np.uint8]:
    """Convert pixels of shape (height, width, 3). Colors that sRGB does not have are clipped, as browsers do."""
    light = _table(space.transfer)[pixels]
    if isinstance(space.transfer, Hdr):
        light = _tone_map(light @ _matrix(space.primaries, BT2020), space)
        light = light @ _matrix(BT2020, BT709)
    else:
        light = light @ _matrix(space.primaries, BT709)
    return _encoding()[(np.clip(light, 0.0, 1.0) * _STEPS + 0.5).astype(np.int32)]


@lru_cache(maxsize=8)
def _table(transfer: Curve | Hdr) -> Floats:
    """Return the light of each 8-bit value. 1.0 is the white of an SDR screen."""
    x = np.arange(256) / 255
    if transfer is Hdr.PQ:
        return (_pq_nits(x) / SDR_WHITE_NITS).astype(np.float32)
    if transfer is Hdr.HLG:
        return _hlg_scene(x).astype(np.float32)
    return transfer.linear(x).astype(np.float32)


def _pq_nits(x: Curved) -> Curved:
    m1, m2, c1, c2, c3 = 2610 / 16_384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = x ** (1 / m2)
    nits: Curved = 10_000 * (np.maximum(root - c1, 0.0) / (c2 - c3 * root)) ** (1 / m1)
    return nits


def _hlg_scene(x: Curved) -> Curved:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(x <= _HLG_MIDDLE, x * x / 3, (np.exp((x - c) / a) + b) / 12)


def _tone_map(light: Floats, space: RgbSpace) -> Floats:
    """Return light of at most 1.0 in BT.2020. All channels get the same gain, so that the hue stays."""
    if space.transfer is Hdr.HLG:  # the picture as a screen of 1,000 cd/m2 shows it (BT.2100-3, table 5)
        luminance = np.maximum(light @ _LUMA_BT2020, 0.0)[..., None]
        light = light * luminance**0.2 * (1000 / SDR_WHITE_NITS)
    if space.peak_nits <= SDR_WHITE_NITS:
        return light
    xs, gains = _gains(space.peak_nits / SDR_WHITE_NITS)
    brightest = light.max(axis=-1, keepdims=True)
    beyond = np.maximum(brightest / xs[-1], 1.0)  # brighter than the stated peak: white
    mapped: Floats = light * np.interp(brightest, xs, gains).astype(np.float32) / beyond
    return mapped


@lru_cache(maxsize=8)
def _gains(peak: float) -> tuple[Curved, Curved]:
    """Return steps of light from white to the peak, and the gain for each (annex C, formulas C.2 to C.6).

    A quadratic Bezier curve gives eight points. Between them log2(gain) is a cubic of the light.
    """
    white = 1.0 - 0.5 * min(np.log2(peak) / np.log2(DEFAULT_PEAK_NITS / SDR_WHITE_NITS), 1.0)
    kappa = 0.65
    middle_x, middle_y = 1 - kappa + kappa / white, (1 - kappa) * white + kappa
    t = np.linspace(0.0, 1.0, 8)
    x = (1 - t) ** 2 + 2 * t * (1 - t) * middle_x + t**2 * peak
    y = (1 - t) ** 2 * white + 2 * t * (1 - t) * middle_y + t**2
    slope = ((1 - t) * (middle_y - white) + t * (1 - middle_y)) / ((1 - t) * (middle_x - 1) + t * (peak - middle_x))
    light = np.linspace(1.0, peak, 1024)
    return light, 2 ** _cubic(light, x, np.log2(y / x), (x * slope - y) / (np.log(2) * x * y))


def _cubic(at: Curved, x: Curved, y: Curved, slope: Curved) -> Curved:
    """Return the values at `at` of the piecewise cubic with these points and slopes."""
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    width = x[i + 1] - x[i]
    t = (at - x[i]) / width
    start, end = slope[i] * width, slope[i + 1] * width
    rise = y[i + 1] - y[i]
    cubic: Curved = y[i] + t * (start + t * (3 * rise - 2 * start - end + t * (start + end - 2 * rise)))
    return cubic


@lru_cache(maxsize=16)
def _matrix(source: Chromaticities, target: Chromaticities) -> Floats:
    """Return the matrix from one space's light to another's, for rows of (red, green, blue)."""
    matrix: Floats = np.linalg.solve(to_xyz(target), to_xyz(source)).T.astype(np.float32)
    return matrix


def to_xyz(primaries: Chromaticities) -> Curved:
    """Return the matrix from light to XYZ, with the white point adapted to D50 as in ICC profiles (Bradford).

    Raises:
        ValueError: The primaries span no color space.
    """
    columns = np.array([_xyz(*primaries[i : i + 2]) for i in (2, 4, 6)]).T
    try:
        white = _xyz(*primaries[:2]) / (primaries[1] or np.nan)
        matrix = columns * np.linalg.solve(columns, white)
    except np.linalg.LinAlgError:
        matrix = np.full((3, 3), np.nan)
    if not np.abs(matrix).max() < _MAX_XYZ:  # NaN too
        raise ValueError("the primaries span no color space")
    gains = (_BRADFORD @ (0.96422, 1.0, 0.82521)) / (_BRADFORD @ white)
    adapted: Curved = np.linalg.solve(_BRADFORD, gains[:, None] * _BRADFORD) @ matrix
    return adapted


def _xyz(x: float, y: float) -> Curved:
    return np.array([x, y, 1 - x - y])


@lru_cache(maxsize=1)
def _encoding() -> NDArray[np.uint8]:
    """Return the sRGB value of each step of light (IEC 61966-2-1)."""
    light = np.arange(_STEPS + 1) / _STEPS
    encoded = np.where(light <= _SRGB_KNEE, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    levels: NDArray[np.uint8] = (encoded * 255 + 0.5).astype(np.uint8)
    return levels
