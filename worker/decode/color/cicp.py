"""Translates the code points by which PNG, AVIF, HEIF and ICC profiles state a color space (ITU-T H.273).

Codes that Chromium does not draw are no statement (PNG and ICC) or mean sRGB (AVIF and HEIF).
"""

from __future__ import annotations

from worker.decode.color.transfer import (
    BT709,
    BT2020,
    DEFAULT_PEAK_NITS,
    SRGB_CURVE,
    Chromaticities,
    Curve,
    Hdr,
    RgbSpace,
)

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
# Table 2. White, red, green, blue.
_PRIMARIES: dict[int, Chromaticities] = {
    1: BT709,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: BT2020,
    10: (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),  # CIE XYZ
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),  # Display P3
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
# Table 3. Cameras' curves (1, 6, 11, 14, 15) are undone by the curve of the screens made for them (ITU-R BT.1886).
_BT1886 = Curve(2.4)
_TRANSFERS: dict[int, Curve | Hdr] = {
    1: _BT1886,
    4: Curve(2.2),
    5: Curve(2.8),
    6: _BT1886,
    7: Curve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912),
    8: Curve(1.0),
    11: _BT1886,
    13: SRGB_CURVE,
    14: _BT1886,
    15: _BT1886,
    16: Hdr.PQ,
    17: Curve(2.6, (52.37 / 48) ** (1 / 2.6)),
    18: Hdr.HLG,
}
# AVIF and HEIF files of cameras and video programs carry 1 or 6 where sRGB is meant. Chromium draws these as sRGB.
_SRGB_IN_HEIF = (1, 6, 14, 15)


def png_space(codes: bytes, peak_nits: float = DEFAULT_PEAK_NITS) -> RgbSpace | None:
    """Return the space of a PNG's cICP chunk (PNG 3rd edition, 11.3.2.6) or an ICC profile's `cicp` tag.

    Args:
        codes: Primaries, transfer, matrix and full range flag. None is returned if the last two are not 0 and 1.
        peak_nits: The brightest light of the picture in cd/m2.
    """
    if len(codes) != 4 or codes[2:] != b"\0\1":  # noqa: PLR2004 - the four codes
        return None
    primaries, transfer = _PRIMARIES.get(codes[0]), _TRANSFERS.get(codes[1])
    return None if primaries is None or transfer is None else RgbSpace(primaries, transfer, peak_nits)


def heif_space(primaries: int, transfer: int, peak_nits: float = DEFAULT_PEAK_NITS) -> RgbSpace:
    """Return the space of an `nclx` box (ISO/IEC 14496-12, 12.1.5)."""
    curve = SRGB_CURVE if transfer in _SRGB_IN_HEIF else _TRANSFERS.get(transfer, SRGB_CURVE)
    return RgbSpace(_PRIMARIES.get(primaries, BT709), curve, peak_nits)
