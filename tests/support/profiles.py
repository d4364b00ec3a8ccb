"""Builds ICC profiles of every shape, tag by tag (ICC.1:2001-04 and ICC.1:2022)."""

from __future__ import annotations

import struct
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

XYZ = tuple[float, float, float]

# The primaries of sRGB, adapted to D50 as in ICC profiles (IEC 61966-2-1).
RED, GREEN, BLUE = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
D50 = (0.9642, 1.0, 0.8249)
SRGB_NAME = "sRGB IEC61966-2.1"


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)


def gamma(exponent: float) -> bytes:
    """Return a curve of type `curv` with one exponent."""
    return b"curv" + struct.pack(">IIH", 0, 1, round(exponent * 256)) + b"\0\0"


def table(values: Iterable[float]) -> bytes:
    """Return a curve of type `curv` with a table of values from 0 to 1."""
    entries = [round(value * 65_535) for value in values]
    return b"curv" + struct.pack(f">II{len(entries)}H", 0, len(entries), *entries)


def parametric(kind: int, *numbers: float) -> bytes:
    """Return a curve of type `para` (ICC.1:2022, 10.18)."""
    return b"para" + struct.pack(">IHH", 0, kind, 0) + fixed(*numbers)


SRGB_CURVE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def icc(
    tags: Mapping[bytes, bytes],
    *,
    space: bytes = b"RGB ",
    pcs: bytes = b"XYZ ",
    kind: bytes = b"mntr",
    version: int = 2,
    description: str = "test",
) -> bytes:
    """Return a profile with these tags, a description and the white point D50."""
    text = description.encode() + b"\0"
    every = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(79),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(*D50),
        **tags,
    }
    index, content, offset = b"", b"", 128 + 4 + 12 * len(every)
    for name, body in every.items():
        index += name + struct.pack(">II", offset + len(content), len(body))
        content += body + bytes(-len(body) % 4)
    rest = struct.pack(">I", len(every)) + index + content
    head = struct.pack(">I4sI4s4s4s", 128 + len(rest), b"", version << 24 | 0x100000, kind, space, pcs)
    head += bytes(12) + b"acsp" + bytes(28) + fixed(*D50)
    return head.ljust(128, b"\0") + rest


def rgb_tags(primaries: Sequence[XYZ] = (RED, GREEN, BLUE), curve: bytes = gamma(2.2)) -> dict[bytes, bytes]:
    """Return the tags of a profile with three primaries and one curve (6.3.4.2)."""
    tags = {}
    for name, primary in zip("rgb", primaries, strict=True):
        tags[f"{name}XYZ".encode()] = b"XYZ \0\0\0\0" + fixed(*primary)
        tags[f"{name}TRC".encode()] = curve
    return tags


def rgb_profile(
    *primaries: XYZ, curve: bytes = gamma(2.2), description: str = "test", version: int = 2, pcs: bytes = b"XYZ "
) -> bytes:
    """Return a display profile; without primaries, those of sRGB."""
    tags = rgb_tags(primaries or (RED, GREEN, BLUE), curve)
    return icc(tags, description=description, version=version, pcs=pcs)


def grey_profile(curve: bytes, *, description: str = "test", pcs: bytes = b"XYZ ") -> bytes:
    """Return a profile of one channel (6.3.4.1)."""
    return icc({b"kTRC": curve}, space=b"GRAY", pcs=pcs, description=description)


def lut16(channels: int, to_lab: Callable[..., XYZ], points: int = 9) -> bytes:
    """Return a table of type `mft2` from the device's channels, each 0 to 1, to Lab (10.10, legacy 16-bit encoding)."""
    head = b"mft2\0\0\0\0" + bytes([channels, 3, points, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    straight = struct.pack(">2H", 0, 65_535)
    grid = b"".join(_legacy_lab(*to_lab(*at)) for at in _grid(channels, points))
    return head + struct.pack(">2H", 2, 2) + straight * channels + grid + straight * 3


def lut_a_to_b(channels: int, to_lab: Callable[..., XYZ], points: int = 9) -> bytes:
    """Return a table of type `mAB ` from the device's channels, each 0 to 1, to Lab (10.12, A curves and B curves)."""
    same = parametric(0, 1.0)
    b_at, clut_at = 32, 32 + 3 * len(same)
    grid = b"".join(_lab(*to_lab(*at)) for at in _grid(channels, points))
    grid += bytes(-len(grid) % 4)
    clut = bytes([points] * channels).ljust(16, b"\0") + bytes([2, 0, 0, 0]) + grid
    head = b"mAB \0\0\0\0" + bytes([channels, 3, 0, 0])
    head += struct.pack(">5I", b_at, 0, 0, clut_at, clut_at + len(clut))
    return head + same * 3 + clut + same * channels


def _grid(channels: int, points: int) -> Iterable[tuple[float, ...]]:
    return product([step / (points - 1) for step in range(points)], repeat=channels)


def _legacy_lab(lightness: float, a: float, b: float) -> bytes:
    return struct.pack(">3H", *(_sixteen(value) for value in (lightness * 652.8, (a + 128) * 256, (b + 128) * 256)))


def _lab(lightness: float, a: float, b: float) -> bytes:
    return struct.pack(">3H", *(_sixteen(value) for value in (lightness * 655.35, (a + 128) * 257, (b + 128) * 257)))


def _sixteen(value: float) -> int:
    return min(max(round(value), 0), 65_535)
