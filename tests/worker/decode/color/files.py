"""The files of the six fields: each way to state a color space, by name."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from PIL import Image

from tests.support.pictures import encoded
from tests.support.profiles import (
    BLUE,
    GREEN,
    RED,
    SRGB_CURVE,
    SRGB_NAME,
    gamma,
    grey_profile,
    icc,
    lut16,
    lut_a_to_b,
    parametric,
    rgb_profile,
    rgb_tags,
    table,
)
from tests.worker.decode.color.patches import (
    avif,
    bmp,
    chrm,
    chunk,
    cicp,
    clli,
    gama,
    iccp,
    in_av1,
    mdcv,
    nclx,
    picture,
    png,
    without_nclx,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
_LINEAR, _SWAPPED = rgb_profile(curve=gamma(1.0), description=SRGB_NAME), rgb_profile(GREEN, RED, BLUE)
_DISPLAY_P3 = rgb_profile(
    (0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841), curve=SRGB_CURVE
)
_ADOBE_RGB = rgb_profile((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446), curve=gamma(2.2))
_GRAYS = {
    "1.0": grey_profile(gamma(1.0)),
    "1.8": grey_profile(gamma(1.8)),
    "table": grey_profile(table([0, 0.1, 0.5, 1])),
}


def _rgb_lab(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """Return colors of paper and ink: black is not black, and reds turn."""
    return 15 + 80 * (0.3 * red + 0.6 * green + 0.1 * blue), 60 * (red - green), 50 * (green - blue)


def _cmyk_lab(cyan: float, magenta: float, yellow: float, black: float) -> tuple[float, float, float]:
    return _rgb_lab(*((1 - ink) * (1 - black) for ink in (cyan, magenta, yellow)))


_RGB_TABLE = icc({b"A2B0": lut_a_to_b(3, _rgb_lab)}, pcs=b"Lab ", version=4)
_CMYK_TABLE = icc({b"A2B0": lut_a_to_b(4, _cmyk_lab, 5)}, space=b"CMYK", pcs=b"Lab ", kind=b"prtr", version=4)


def _with_cicp(*codes: int) -> bytes:
    return icc({**rgb_tags(curve=gamma(1.0)), b"cicp": b"cicp\0\0\0\0" + bytes(codes)}, version=4)


def _no_blue() -> bytes:
    tags = rgb_tags(curve=gamma(1.0))
    del tags[b"bTRC"]
    return icc(tags)


_PROFILES = {
    "linear, named sRGB": _LINEAR,
    "red and green swapped": _SWAPPED,
    "Display P3": _DISPLAY_P3,
    "Adobe RGB": _ADOBE_RGB,
    "sRGB by another name": rgb_profile(curve=SRGB_CURVE, description="Monitor 7", version=4),
    "gamma 1.8": rgb_profile(curve=gamma(1.8)),
    "no entries: linear": rgb_profile(curve=table([])),
    "a table": rgb_profile(curve=table([0, 0.1, 0.3, 0.9, 1])),
    "a falling table": rgb_profile(curve=table([1, 0])),
    "parametric 0": rgb_profile(curve=parametric(0, 1.8), version=4),
    "parametric 1": rgb_profile(curve=parametric(1, 2.0, 1.0, -0.1), version=4),
    "parametric 4": rgb_profile(curve=parametric(4, 2.4, 0.9, 0.1, 0.08, 0.04, 0.0, 0.0), version=4),
    "parametric 0, falling": rgb_profile(curve=parametric(0, -1.0), version=4),
    "parametric 2": rgb_profile(curve=parametric(2, 2.0, 0.95, -0.05, 0.05), version=4),
    "parametric 2, bent below 0": rgb_profile(curve=parametric(2, 2.0, 0.9, 0.05, 0.05), version=4),
    "parametric 3, below 0": rgb_profile(curve=parametric(3, 2.4, 0.9, 0.1, -0.1, 0.04), version=4),
    "parametric 9": rgb_profile(curve=parametric(9, 2.4), version=4),
    "dim primaries": rgb_profile((0.2, 0.1, 0.01), (0.2, 0.3, 0.05), (0.1, 0.05, 0.3)),
    "LUT of version 2": icc({b"A2B0": lut16(3, _rgb_lab)}, pcs=b"Lab "),
    "LUT of version 4": _RGB_TABLE,
    "LUT for the relative intent only": icc({b"A2B1": lut_a_to_b(3, _rgb_lab)}, pcs=b"Lab ", version=4),
    "a LUT and curves: the LUT": icc({**rgb_tags(), b"A2B0": lut_a_to_b(3, _rgb_lab)}, pcs=b"Lab ", version=4),
    "a device link": icc(rgb_tags(curve=gamma(1.0)), kind=b"link"),
    "an abstract profile": icc(rgb_tags(curve=gamma(1.0)), kind=b"abst"),
    "named colors": icc(rgb_tags(curve=gamma(1.0)), kind=b"nmcl"),
    "no class": icc(rgb_tags(curve=gamma(1.0)), kind=b"\0\0\0\0"),
    "version 5": rgb_profile(curve=gamma(1.0), version=5),
    "tag cicp: PQ": _with_cicp(9, 16, 0, 1),
    "tag cicp: HLG": _with_cicp(9, 18, 0, 1),
    "tag cicp: unspecified": _with_cicp(2, 2, 0, 1),
    "tag cicp: limited range": _with_cicp(9, 16, 0, 0),
    "cut in the head": _LINEAR[:100],
    "cut in the tags": _LINEAR[:200],
    "its end is cut": _LINEAR[:-8],
    "bytes after its end": _LINEAR + bytes(1000),
    "a wrong size": b"\0\0\0\xff" + _LINEAR[4:],
    "zeros": bytes(128),
    "no signature": _LINEAR.replace(b"acsp", b"ascp"),
    "no blue curve": _no_blue(),
    "a tag beyond the end": _LINEAR.replace(
        b"bTRC" + _LINEAR[_LINEAR.index(b"bTRC") + 4 :][:4], b"bTRC\x7f\xff\xff\xff"
    ),
}


def _png_chunks() -> Iterator[tuple[str, bytes]]:
    for value in (0, 1, 10_000, 40_000, 45_455, 47_000, 50_000, 100_000, 1_000_000, 2**31 - 1, 2**32 - 1):
        yield f"gAMA {value}", png(gama(value))
    for name, body in {
        "cHRM alone": chrm(*_P3),
        "cHRM and gAMA": chrm(*_P3) + gama(45_455),
        "cHRM of zeros": chrm(*(0,) * 8) + gama(100_000),
        "cHRM of one point": chrm(0.3127, 0.329, *(0.3,) * 6) + gama(100_000),
        "cHRM of one line": chrm(0.3127, 0.329, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3) + gama(100_000),
        "cHRM above 1": chrm(0.3127, 0.329, 2, 3, 0.2, 0.2, 0.3, 0.3) + gama(100_000),
        "sRGB before gAMA": chunk(b"sRGB", b"\0") + gama(100_000),
        "sRGB after gAMA": gama(100_000) + chunk(b"sRGB", b"\0"),
        "sRGB of no intent": chunk(b"sRGB", b"\x09") + gama(100_000),
        "gAMA twice": gama(100_000) + gama(45_455),
        "cICP before gAMA": cicp(1, 13) + gama(100_000),
        "cICP after iCCP": iccp(_SWAPPED) + cicp(1, 8),
        "iCCP and gAMA": iccp(_SWAPPED) + gama(100_000),
        "iCCP and sRGB": iccp(_SWAPPED) + chunk(b"sRGB", b"\0"),
        "a damaged iCCP and gAMA": iccp(b"no profile") + gama(100_000),
        "cICP unspecified, then gAMA": cicp(2, 2) + gama(100_000),
        "cICP unspecified, sRGB, gAMA": cicp(2, 2) + chunk(b"sRGB", b"\0") + gama(100_000),
        "cICP too short": chunk(b"cICP", b"\x09\x10\0") + gama(100_000),
        "cICP too long": chunk(b"cICP", b"\x09\x10\0\1\0"),
        "cICP of limited range": cicp(9, 16, 0, 0),
    }.items():
        yield name, png(body)
    for nits in (100, 203, 300, 1000, 4000, 10_000):
        yield f"PQ, cLLI {nits}", png(cicp(9, 16), clli(nits))
        yield f"HLG, cLLI {nits}", png(cicp(9, 18), clli(nits))
    yield "PQ, mDCV 500", png(cicp(9, 16), mdcv(500))
    yield "PQ, cLLI 0, mDCV 4000", png(cicp(9, 16), clli(0), mdcv(4000))
    for mode in ("L", "LA", "P", "RGBA", "1", "I;16"):
        yield f"gAMA 100000 on {mode}", png(gama(100_000), mode=mode)
        yield f"PQ on {mode}", png(cicp(9, 16), mode=mode)
    end_of_palette = png(mode="P").index(b"IDAT") - 4
    for name, late in {"gAMA": gama(100_000), "cICP": cicp(1, 8)}.items():
        content = png(mode="P")
        yield f"{name} after the palette", content[:end_of_palette] + late + content[end_of_palette:]
    content = png()
    yield "gAMA after the pixels", content[:-12] + gama(100_000) + content[-12:]


def _codes() -> Iterator[tuple[str, bytes]]:
    plain = avif()
    for primaries in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 22, 23):
        yield f"cICP primaries {primaries}", png(cicp(primaries, 13))
        yield f"nclx primaries {primaries}", nclx(plain, primaries, 13)
    for transfer in range(20):
        yield f"cICP transfer {transfer}", png(cicp(1, transfer))
        if transfer not in (9, 10, 11, 12):  # Chromium refuses such AVIFs
            yield f"nclx transfer {transfer}", nclx(plain, 1, transfer)


def _avifs() -> Iterator[tuple[str, bytes]]:
    for name, codes in {
        "P3": (12, 13),
        "PQ": (9, 16),
        "HLG": (9, 18),
        "linear P3": (12, 8),
        "BT.2020": (9, 14),
    }.items():
        yield f"nclx {name}", nclx(avif(), *codes)
        yield f"nclx {name} on gray", nclx(avif("L"), *codes)
        yield f"AV1 {name}", without_nclx(in_av1(avif(), *codes))
    yield "AV1 PQ, nclx sRGB", in_av1(avif(), 9, 16)
    yield "AV1 PQ, nclx unspecified", nclx(in_av1(avif(), 9, 16), 2, 2)
    yield "profile and nclx", avif(icc_profile=_SWAPPED)


def _profiles() -> Iterator[tuple[str, bytes]]:
    for name, profile in _PROFILES.items():
        yield f"profile, {name}", png(icc_profile=profile)
    for name, profile in {
        **{f"gray {k}": v for k, v in _GRAYS.items()},
        "swapped": _SWAPPED,
        "linear": _LINEAR,
    }.items():
        for mode in ("L", "LA", "P", "RGB", "RGBA", "1", "I;16"):
            yield f"{name} profile on PNG {mode}", png(mode=mode, icc_profile=profile)
        for mode in ("L", "RGB", "CMYK"):
            yield f"{name} profile on JPEG {mode}", _jpeg(picture(mode), icc_profile=profile)
        yield f"{name} profile on WebP", encoded(picture(), "WEBP", lossless=True, icc_profile=profile)
    yield "gray profile of Lab on PNG L", png(mode="L", icc_profile=grey_profile(gamma(1.0), pcs=b"Lab "))
    for mode in ("L", "LA", "RGB", "RGBA", "P"):
        yield f"CMYK profile on PNG {mode}", png(mode=mode, icc_profile=_CMYK_TABLE)
        yield f"LUT on PNG {mode}", png(mode=mode, icc_profile=_RGB_TABLE)
        yield f"tag cicp: PQ on PNG {mode}", png(mode=mode, icc_profile=_with_cicp(9, 16, 0, 1))
    yield "swapped profile on WebP with alpha", encoded(picture("RGBA"), "WEBP", lossless=True, icc_profile=_SWAPPED)
    yield "gray profile on gray AVIF", avif("L", icc_profile=_GRAYS["1.0"])
    yield "RGB profile on gray AVIF", avif("L", icc_profile=_LINEAR)
    yield "profile on BMP", bmp(_SWAPPED)
    yield "profile of a linked kind on BMP", bmp(_SWAPPED, b"KNIL")
    yield "BMP of version 4", bmp(kind=b"BGRs", header=108)


def _jpegs() -> Iterator[tuple[str, bytes]]:
    cmyk, rgb = _jpeg(picture("CMYK")), _jpeg(picture())
    adobe = cmyk.index(b"Adobe")
    yield "CMYK, Adobe", cmyk
    yield "CMYK without Adobe's mark", cmyk[: adobe - 4] + cmyk[adobe + 12 :]
    yield "YCCK", cmyk[: adobe + 11] + b"\2" + cmyk[adobe + 12 :]
    yield "CMYK with a profile", _jpeg(picture("CMYK"), icc_profile=_CMYK_TABLE)
    yield "YCCK with a profile", _ycck(_jpeg(picture("CMYK"), icc_profile=_CMYK_TABLE))
    jfif, mark = rgb.index(b"JFIF") - 4, b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
    yield "Adobe's transform 0", rgb[:jfif] + mark + b"\0" + rgb[jfif + 18 :]
    yield "Adobe's transform 0 and JFIF", rgb[: jfif + 18] + mark + b"\0" + rgb[jfif + 18 :]
    yield "Adobe's transform 1", rgb[:jfif] + mark + b"\1" + rgb[jfif + 18 :]
    yield "neither JFIF nor Adobe", rgb[:jfif] + rgb[jfif + 18 :]
    yield "components R, G, B", _jpeg(picture(), keep_rgb=True)
    parts = [_app2(number, 2, half) for number, half in ((1, _SWAPPED[:200]), (2, _SWAPPED[200:]))]
    for name, segments in {
        "a profile in two parts": parts,
        "a profile's parts in the wrong order": parts[::-1],
        "a profile with a part missing": parts[:1],
        "a profile with a part twice": [*parts, parts[1]],
        "two whole profiles": [_app2(1, 1, _SWAPPED), _app2(1, 1, _LINEAR)],
    }.items():
        yield f"JPEG, {name}", rgb[: jfif + 18] + b"".join(segments) + rgb[jfif + 18 :]
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 2, 0xA005: {1: "R03"}}
    yield "EXIF says Adobe RGB", _jpeg(picture(), exif=exif.tobytes())


def _jpeg(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "JPEG", quality=100, subsampling=0, **options)


def _app2(number: int, count: int, part: bytes) -> bytes:
    """Return a segment with a part of a profile (ICC.1:2022, B.4)."""
    body = b"ICC_PROFILE\0" + bytes([number, count]) + part
    return b"\xff\xe2" + (len(body) + 2).to_bytes(2, "big") + body


def _ycck(content: bytes) -> bytes:
    at = content.index(b"Adobe") + 11
    return content[:at] + b"\2" + content[at + 1 :]


def files() -> dict[str, bytes]:
    """Return the files by name."""
    return dict(chain(_png_chunks(), _codes(), _avifs(), _profiles(), _jpegs()))
