"""Reads the orientation from an EXIF block as browsers do.

Pillow's `getexif` is not used: it takes an orientation from XMP too, accepts numbers of every type, and reads all tags.
"""

from __future__ import annotations

import struct

from worker.decode.geometry import ORIENTATIONS, UPRIGHT, Orientation

_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ENTRY_BYTES = 12
_ORIENTATION, _SHORT = 0x0112, 3


def read_orientation(exif: bytes) -> Orientation:
    r"""Return the orientation that the first directory states; upright if it states none or is damaged.

    Only one number of type SHORT counts, and of several entries the first (Chromium's SkExif.cpp does the same).

    Args:
        exif: A TIFF header and the directories, without `Exif\0\0`.
    """
    order = _BYTE_ORDERS.get(exif[:4])
    if order is None:
        return UPRIGHT
    start = int.from_bytes(exif[4:8], "little" if order == "<" else "big")
    count = struct.unpack_from(order + "H", exif, start)[0] if start + 2 <= len(exif) else 0
    for position in range(start + 2, min(start + 2 + count * _ENTRY_BYTES, len(exif) - _ENTRY_BYTES + 1), _ENTRY_BYTES):
        tag, kind, values, value = struct.unpack_from(order + "HHIH", exif, position)
        if tag == _ORIENTATION:
            return ORIENTATIONS.get(value, UPRIGHT) if (kind, values) == (_SHORT, 1) else UPRIGHT
    return UPRIGHT
