"""How the samples of a TIFF lie in its file, as the tags of its directory say (TIFF 6.0). No pixels are read here."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2

if TYPE_CHECKING:
    from collections.abc import Mapping

    Tags = Mapping[int, Any]

# Values of PhotometricInterpretation and Compression.
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9
NO_COMPRESSION, WEBP = 1, 50001
_COLOR_SAMPLES = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, MASK: 1, CMYK: 4, CIELAB: 3, ICCLAB: 3}
_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}  # SampleFormat; 4 means undefined
_ASSOCIATED, _UNASSOCIATED, _COREL = 1, 2, 999  # ExtraSamples; Corel Draw 10 writes 999
_SEPARATE, _REVERSED = 2, 2  # PlanarConfiguration, FillOrder
_MAX_BITS, _SHORT_BITS = 64, 16
_FLOAT_BITS, _INTEGER_BITS, _PACKED_BITS = (16, 32, 64), (8, 16, 32, 64), range(1, 16)
_MAX_SAMPLES = 65_535  # SamplesPerPixel is a 16-bit number
_SIGNATURES = (b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"MM\0+", b"II+\0")  # those that Pillow reads


class Tag(IntEnum):
    """Tags of TIFF 6.0, its technical notes, and ICC.1 (the profile)."""

    SUBFILE_TYPE = 254
    WIDTH = 256
    LENGTH = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTE_COUNTS = 279
    PLANAR = 284
    PREDICTOR = 317
    COLOR_MAP = 320
    TILE_WIDTH = 322
    TILE_LENGTH = 323
    TILE_OFFSETS = 324
    TILE_BYTE_COUNTS = 325
    SUB_DIRECTORIES = 330
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    SUBSAMPLING = 530
    PROFILE = 34675


class NotSamples(Exception):
    """The directory is sound, but its samples are of a kind that `worker.decode.tiff.samples` cannot read."""


@dataclass(frozen=True)
class Layout:
    """Where the samples are, and what they mean.

    A chunk is a strip or a tile. `chunk_width` and `chunk_height` are in pixels.

    Attributes:
        kind: "u" for unsigned integers, "i" for signed ones, "f" for floats.
        samples: Number of samples of each pixel, with those that are no color.
        alpha: Which sample is the opacity; None if none is.
        associated: Whether the colors are already multiplied by the opacity.
        separate: Whether each sample has chunks of its own (PlanarConfiguration 2).
        palette: The values of ColorMap: all reds, all greens, all blues.
    """

    width: int
    height: int
    bits: int
    kind: str
    samples: int
    photometric: int
    alpha: int | None
    associated: bool
    separate: bool
    chunk_width: int
    chunk_height: int
    tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    compression: int
    predictor: int
    reversed_bits: bool
    big_endian: bool
    palette: tuple[int, ...]

    @property
    def wide(self) -> bool:
        """Whether the samples are no integers of at most 16 bits, so that the value of white is not fixed."""
        return self.kind == "f" or self.bits > _SHORT_BITS

    @property
    def colors(self) -> int:
        """The number of samples of each pixel that are colors."""
        return _COLOR_SAMPLES[self.photometric]


def is_tiff(content: bytes) -> bool:
    """Return whether the content starts as a TIFF or BigTIFF does."""
    return content.startswith(_SIGNATURES)


def is_big(content: bytes) -> bool:
    """Return whether a TIFF is a BigTIFF, whose offsets have 64 bits."""
    return content[2:4] in (b"+\0", b"\0+")


def read_directory(content: bytes, offset: int | None = None) -> ImageFileDirectory_v2:
    """Return the directory at `offset`, by default the first one.

    Raises:
        OSError, SyntaxError, ValueError, struct.error: The content is damaged.
    """
    if is_big(content):  # Pillow takes only little-endian BigTIFF, unless the byte order is given apart
        directory = ImageFileDirectory_v2(b"II+\0" + content[4:16], prefix=content[:2])
    else:
        directory = ImageFileDirectory_v2(content[:8])
    stream = BytesIO(content)
    stream.seek(directory.next if offset is None else offset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tags that are damaged, which are left out
        directory.load(stream)
    return directory


def numbers(tags: Tags, tag: Tag, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Return a tag's values, which must be whole numbers. Raises ValueError if they are not."""
    values = tags.get(tag, default)
    values = values if isinstance(values, tuple) else (values,)
    if not all(isinstance(value, int) for value in values):
        raise ValueError(f"the tag {tag.name} is not a whole number")
    return values


def number(tags: Tags, tag: Tag, default: int | None = None) -> int:
    """Return the first value of a tag. Raises ValueError if there is none, or if it is not a whole number."""
    values = numbers(tags, tag, () if default is None else (default,))
    if not values:
        raise ValueError(f"the tag {tag.name} is missing")
    return values[0]


def read_layout(directory: ImageFileDirectory_v2) -> Layout:
    """Return where the samples are.

    Raises:
        NotSamples: The samples are of another kind.
        ValueError: A tag is missing or damaged.
    """
    tags: Tags = directory
    width, height, samples = number(tags, Tag.WIDTH), number(tags, Tag.LENGTH), number(tags, Tag.SAMPLES, 1)
    photometric = number(tags, Tag.PHOTOMETRIC, WHITE_IS_ZERO)
    bits, kind = _sample_type(tags)
    if not (width > 0 and height > 0 and 0 < samples <= _MAX_SAMPLES):
        raise ValueError(f"the image has {width}x{height} pixels of {samples} samples")
    if photometric not in _COLOR_SAMPLES or samples < _COLOR_SAMPLES[photometric]:
        raise NotSamples
    alpha, associated = _alpha(tags, photometric, samples)
    tiled = Tag.TILE_OFFSETS in tags
    strips, tiles = (Tag.STRIP_OFFSETS, Tag.STRIP_BYTE_COUNTS), (Tag.TILE_OFFSETS, Tag.TILE_BYTE_COUNTS)
    offsets, counts = tiles if tiled else strips
    return Layout(
        width, height, bits, kind, samples, photometric, alpha, associated,
        separate=number(tags, Tag.PLANAR, 1) == _SEPARATE,
        chunk_width=number(tags, Tag.TILE_WIDTH) if tiled else width,
        chunk_height=number(tags, Tag.TILE_LENGTH) if tiled else min(height, number(tags, Tag.ROWS_PER_STRIP, height)),
        tiled=tiled,
        offsets=numbers(tags, offsets),
        counts=numbers(tags, counts),
        compression=number(tags, Tag.COMPRESSION, NO_COMPRESSION),
        predictor=number(tags, Tag.PREDICTOR, 1),
        reversed_bits=number(tags, Tag.FILL_ORDER, 1) == _REVERSED,
        big_endian=directory.prefix == b"MM",
        palette=numbers(tags, Tag.COLOR_MAP) if photometric == PALETTE else (),
    )  # fmt: skip


def _sample_type(tags: Tags) -> tuple[int, str]:
    """Return the number of bits and the kind of each sample, which must be the same for all."""
    bits, formats = set(numbers(tags, Tag.BITS, (1,))), set(numbers(tags, Tag.SAMPLE_FORMAT, (1,)))
    if not all(0 < size <= _MAX_BITS for size in bits):
        raise ValueError(f"samples have {max(bits)} bits")
    if len(bits) > 1 or len(formats) > 1 or not formats <= _KINDS.keys():
        raise NotSamples
    size, kind = bits.pop(), _KINDS[formats.pop()]
    packed = kind == "u" and size in _PACKED_BITS
    if not packed and size not in (_FLOAT_BITS if kind == "f" else _INTEGER_BITS):
        raise NotSamples
    return size, kind


def _alpha(tags: Tags, photometric: int, samples: int) -> tuple[int | None, bool]:
    """Return which sample is the opacity, and whether it is associated.

    A fourth sample without ExtraSamples is the opacity, as Pillow and libtiff take it. One that is declared as
    unspecified is not: programs store masks and infrared light there.
    """
    colors = _COLOR_SAMPLES[photometric]
    extra = numbers(tags, Tag.EXTRA_SAMPLES, (_UNASSOCIATED,) if samples == colors + 1 else ())[: samples - colors]
    meanings = (_ASSOCIATED, _UNASSOCIATED, _COREL)
    found = next((place for place, meaning in enumerate(extra) if meaning in meanings), None)
    return (None, False) if found is None else (colors + found, extra[found] == _ASSOCIATED)
