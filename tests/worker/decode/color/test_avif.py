"""The boxes and AV1 data of an AVIF are read in every form that the specifications allow, and damage states nothing."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tests.worker.decode.color.patches import avif, in_av1, picture, without_nclx
from worker.decode.color.av1 import sequence_color
from worker.decode.color.avif import avif_space
from worker.decode.color.transfer import BT2020, Hdr, RgbSpace

P3 = struct.pack(">4s3HB", b"nclx", 12, 8, 0, 128)


def box(kind: bytes, *parts: bytes, wide: bool = False, open_end: bool = False) -> bytes:
    """Return a box; `wide` with a size of 64 bits, `open_end` without a size, as the last box of a file may be."""
    body = b"".join(parts)
    if open_end:
        return struct.pack(">I4s", 0, kind) + body
    if wide:
        return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def meta(*, item: int = 1, wide_ids: bool = False, wide_numbers: bool = False, **last: bool) -> bytes:
    """Return a `meta` box whose second property, of three, is the nclx of item 1 and third its peak of 500 cd/m2."""
    ids, numbers = ("I" if wide_ids else "H"), ("H" if wide_numbers else "B")
    essential = 0x8000 if wide_numbers else 0x80
    associations = struct.pack(f">I{ids}B{numbers}", 2, 7, 1, 1)  # another item, with another property
    associations += struct.pack(f">{ids}B2{numbers}", 1, 2, essential | 2, 3)
    properties = [box(b"colr", b"nclx", bytes(7)), box(b"colr", P3), box(b"clli", struct.pack(">2H", 500, 0))]
    return box(
        b"meta",
        bytes(4),
        full(b"pitm", int(wide_ids), 0, struct.pack(f">{ids}", item)),
        box(b"iprp", box(b"ipco", *properties), full(b"ipma", int(wide_ids), int(wide_numbers), associations)),
        **last,
    )


@pytest.mark.parametrize("wide_ids", [False, True], ids=["16-bit ids", "32-bit ids"])
@pytest.mark.parametrize("wide_numbers", [False, True], ids=["7-bit numbers", "15-bit numbers"])
@pytest.mark.parametrize("last", [{}, {"wide": True}, {"open_end": True}], ids=["size", "64-bit size", "no size"])
def test_boxes_of_every_form(wide_ids: bool, wide_numbers: bool, last: dict[str, bool]) -> None:
    space = avif_space(box(b"ftyp") + meta(wide_ids=wide_ids, wide_numbers=wide_numbers, **last))
    assert space is not None
    assert space.primaries[2:4] == (0.68, 0.32)
    assert space.peak_nits == 500


def test_the_boxes_of_other_items_do_not_count() -> None:
    assert avif_space(meta(item=2)) is None


@pytest.mark.parametrize("version", [0, 1, 2])
def test_av1_data_is_found_in_every_form(version: int) -> None:
    """By places of the file; from version 1 on also in a box of `meta`; in version 2 with ids of 32 bits."""
    content = without_nclx(in_av1(avif(), 9, 16))
    data = content[content.rindex(b"mdat") + 4 :]
    ids = "I" if version == 2 else "H"
    in_meta = struct.pack(">H", 1) if version else b""
    index = bytes(4) if version else b""
    start = 0 if version else 8
    places = struct.pack(f">2B{ids}", 0x44, 0x44 if version else 0x40, 2)  # fields of four bytes; two items
    places += struct.pack(f">{ids}", 7) + in_meta + struct.pack(">HIH", 0, 0, 1) + index + bytes(8)
    places += struct.pack(f">{ids}", 1) + in_meta + struct.pack(">HIH", 0, start, 1) + index + struct.pack(">2I", 0, 9)
    properties = box(b"iprp", box(b"ipco"), full(b"ipma", 0, 0, bytes(4)))
    boxes = [full(b"pitm", 0, 0, b"\0\1"), properties, full(b"iloc", version, 0, places), box(b"idat", data)]
    about = box(b"meta", bytes(4), *boxes)
    space = avif_space(about if version else box(b"mdat", data) + about)
    assert space == RgbSpace(BT2020, Hdr.PQ)


def header(*fields: tuple[int, int]) -> bytes:
    """Return an AV1 sequence header of fields (value, bits), after a temporal delimiter."""
    text = "".join(f"{value:0{count}b}" for value, count in fields)
    text += "0" * (-len(text) % 8)
    body = bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
    return b"\x12\x00\x0a" + bytes([len(body)]) + body


SIZE = [(7, 4), (7, 4), (255, 8), (255, 8)]
TOOLS = [(0, 3), (0, 4)]
NO_ORDER, ORDER = [(0, 1), (1, 1), (1, 1)], [(1, 1), (3, 2), (0, 1), (1, 1), (0, 1), (1, 1), (6, 3)]
END = [(0, 3), (0, 1), (0, 1), (1, 1), (9, 8), (16, 8), (0, 8)]
POINT = [(0, 12), (8, 5), (1, 1)]  # of a level that has a tier


@pytest.mark.parametrize(
    "fields",
    [
        [(0, 3), (1, 1), (1, 1), (0, 5), *SIZE, (0, 3), *END],
        [(0, 3), (0, 1), (0, 1), (0, 1), (0, 1), (0, 5), *POINT, *SIZE, (0, 1), *TOOLS, *NO_ORDER, *END],
        [(0, 3), (0, 1), (0, 1), (0, 1), (0, 1), (0, 5), *POINT, *SIZE, (1, 1), (5, 7), *TOOLS, *ORDER, *END],
        # Equal intervals of five ticks, a decoder model with delays of three bits, and two operating points.
        [
            *[(0, 3), (0, 1), (0, 1), (1, 1), (1, 32), (30, 32), (1, 1), (0b00101, 5)],
            *[(1, 1), (2, 5), (1, 32), (0, 5), (0, 5), (1, 1), (1, 5)],
            *[*POINT, (1, 1), (5, 7), (1, 1), (9, 4), (0, 12), (1, 5), (0, 1), (0, 1)],
            *[*SIZE, (0, 1), *TOOLS, *NO_ORDER, *END],
        ],
        [(2, 3), (1, 1), (1, 1), (0, 5), *SIZE, (0, 3), (0, 3), (1, 1), (1, 1), *END[2:]],
        [(1, 3), (1, 1), (1, 1), (0, 5), *SIZE, (0, 3), (0, 3), (0, 1), *END[3:]],
    ],
    ids=["still image", "video", "video with order hints", "timing and operating points", "12 bits", "4:4:4"],
)
def test_av1_headers_of_every_form(fields: list[tuple[int, int]]) -> None:
    assert sequence_color(header(*fields)) == (9, 16)


def test_the_header_of_an_animation_is_read() -> None:
    """Its AV1 header is that of a video."""
    moving = avif(save_all=True, append_images=[picture()], duration=1000)
    assert avif_space(without_nclx(in_av1(moving, 9, 16))) == RgbSpace(BT2020, Hdr.PQ)


def test_damage_states_nothing_and_never_fails() -> None:
    """Each cut, and 1,000 files with random bytes in the boxes and the header."""
    whole = without_nclx(in_av1(avif(), 9, 16))
    assert avif_space(whole) is not None
    for end in range(0, whole.index(b"mdat"), 3):
        assert avif_space(whole[:end]) is None
    random = np.random.default_rng(19)
    for _ in range(1000):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[random.integers(0, whole.index(b"mdat") + 40, 4)] = random.integers(0, 256, 4)
        space = avif_space(damaged.tobytes())
        assert space is None or isinstance(space, RgbSpace)


def test_lists_without_end_are_left() -> None:
    """A million boxes, and an association for an item that comes after half a million others."""
    assert avif_space(box(b"free") * 1_000_000 + meta()) is None
    others = struct.pack(">HB", 7, 0) * 500_000
    properties = box(b"iprp", box(b"ipco", box(b"colr", P3)), full(b"ipma", 0, 0, b"\0\7\xff\xff", others, b"\0\1\1\1"))
    assert avif_space(box(b"meta", bytes(4), full(b"pitm", 0, 0, b"\0\1"), properties)) is None
