"""Turns the bytes of an image file into the pixels that the model's vision tower takes.

Runs inside a decoding process (`worker.decode.child`): what a file makes the decoding libraries do happens there.
"""

from __future__ import annotations

import re
import struct
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, ExifTags, Image, ImageFile, UnidentifiedImageError

from worker.decode.color import flatten, to_srgb
from worker.decode.geometry import ORIENTATIONS, UPRIGHT, Orientation, crop_box, draft, scale
from worker.decode.signatures import describe, is_decoded
from worker.errors import (
    CorruptImage,
    DecodeTooCostly,
    TooManyFrames,
    TooManyPixels,
    TooManyScans,
    UnsupportedFormat,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.spec import PreprocessSpec

# By content, never by name. What is left out (EPS, PSD, FITS, ...) holds nearly all of Pillow's past holes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "HEIF")
# Those whose header says how many frames there are. Of the others only the first is ever looked for: to count the
# frames of a GIF or TIFF would be to walk the whole file.
_COUNT_FRAMES = {"PNG", "WEBP", "AVIF", "HEIF", "MPO"}
# What Pillow says, in an OSError, where a decoder written in C was given no memory.
_NO_MEMORY = re.compile(r"decoder error -9|out of memory")
# Tiles of a TIFF that are larger than the picture cost what they cover, and not what is seen of them.
_TILE_TAGS = (322, 323)  # TileWidth, TileLength (TIFF 6.0, section 15)
_LARGEST_SPARE_TILE = 1024

# What Pillow's plug-ins are known to raise on damaged files (its own fuzz targets tolerate the same).
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    RuntimeError,
    ZeroDivisionError,
    AssertionError,
    AttributeError,
    struct.error,
)

# Large pictures shrink in whole steps first, while this many times the input's resolution remains for the filter: the
# result is hardly distinguishable, but a small input shows more of it, since fine texture becomes noise there.
_GAP = 1.5
# Pixels of the shorter side that these steps leave at least.
_LEAST_KEPT = 192
# A marker with a segment: no stuffed byte, restart, padding or TEM, which have none (T.81, B.1.1.2 and B.1.1.3).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_JPEG_START_OF_SCAN, _JPEG_END = 0xDA, 0xD9


@dataclass(frozen=True)
class DecodeLimits:
    """What an image file may be: pixels in all and of one side, frames, scans, and whether it may be cut short."""

    max_pixels: int
    max_side: int
    max_frames: int
    max_scans: int
    allow_truncated: bool


@dataclass(frozen=True)
class DecodedImage:
    """Pixels ready for the encoder, and what the file was.

    Attributes:
        pixels: uint8 of shape (height, width, 3), RGB, of the model's input size.
        width: Pixels of the whole picture, upright.
        height: Pixels of the whole picture, upright.
        format: One of `FORMATS`.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str


class Decoder(Protocol):
    """Turns the bytes of an image file into pixels."""

    def decode(self, content: bytes) -> DecodedImage:
        """Return the pixels; raises PermanentError or TransientError (`worker.errors`)."""
        ...


class PillowDecoder:
    """A `Decoder` that runs Pillow in this process. Sets limits of Pillow's that are global to the process."""

    def __init__(self, spec: PreprocessSpec, limits: DecodeLimits) -> None:
        self._spec = spec
        self._limits = limits
        self._gap = max(_GAP, _LEAST_KEPT / min(spec.width, spec.height))
        self._filter = Image.Resampling[spec.interpolation.upper()]
        # Ours is the limit that counts; Pillow's own would only warn.
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        ImageFile.LOAD_TRUNCATED_IMAGES = limits.allow_truncated
        # Images are decoded side by side already.
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        pillow_heif.register_heif_opener()
        pillow_heif.options.DECODE_THREADS = 1

    def decode(self, content: bytes) -> DecodedImage:
        """Decode the first frame, upright, on white, in sRGB, as open_clip's own transform would resize and crop it.

        Raises:
            UnsupportedFormat: No format that is decoded.
            TooManyPixels, TooManyFrames, TooManyScans: Larger than the limit.
            DecodeTooCostly: The process may not have as much memory.
            CorruptImage: Damaged or cut short.
        """
        try:
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                self._check(image, content)
                return self._decode(image)
        except UnidentifiedImageError:
            raise _unidentified(content) from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise TooManyPixels(self._too_many()) from None
        except MemoryError:
            raise _too_much_memory() from None
        except _DAMAGED as exc:
            if _NO_MEMORY.search(str(exc)):
                raise _too_much_memory() from None
            raise CorruptImage(f"the image cannot be decoded: {exc}") from None

    def _check(self, image: Image.Image, content: bytes) -> None:
        """Refuse by the header what is too large to decode."""
        limits = self._limits
        if image.width * image.height > limits.max_pixels:
            raise TooManyPixels(f"{image.width}x{image.height}: {self._too_many()}")
        if max(image.size) > limits.max_side:
            raise TooManyPixels(f"{image.width}x{image.height}: a side above {limits.max_side} (CLIPQUEUE_MAX_SIDE)")
        if image.format in _COUNT_FRAMES and getattr(image, "n_frames", 1) > limits.max_frames:
            raise TooManyFrames(f"more than {limits.max_frames} frames (CLIPQUEUE_MAX_FRAMES)")
        if image.format == "TIFF":
            _check_tiles(image)
        if image.format in ("JPEG", "MPO") and _has_more_scans(content, limits.max_scans):
            raise TooManyScans(f"more than {limits.max_scans} scans (CLIPQUEUE_MAX_SCANS)")

    def _decode(self, image: Image.Image) -> DecodedImage:
        # MPO is what Pillow calls a JPEG with further pictures behind the first, as phones write it.
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        profile = image.info.get("icc_profile")
        if file_format != "JPEG":
            # Before the orientation is asked for: that loads a PNG too, and swallows what is wrong with it.
            image.load()
        turn, stored = _turn(image), image.size
        width, height = turn.size(*stored)
        box = turn.stored_box(crop_box(width, height, self._spec), *stored)
        size = turn.size(self._spec.width, self._spec.height)
        shrunk = draft(image, box, size, self._gap)
        image.load()
        resized = flatten(image).resize(size, self._filter, box=scale(box, 1 / shrunk), reducing_gap=self._gap)
        return DecodedImage(np.asarray(turn.apply(to_srgb(resized, profile))), width, height, file_format)

    def _too_many(self) -> str:
        return f"more than {self._limits.max_pixels} pixels (CLIPQUEUE_MAX_PIXELS)"


def _unidentified(content: bytes) -> UnsupportedFormat | CorruptImage:
    if is_decoded(content):
        return CorruptImage("the image cannot be decoded: its header is damaged")
    return UnsupportedFormat(f"the content is {describe(content)}; decoded are {', '.join(FORMATS)}")


def _too_much_memory() -> DecodeTooCostly:
    return DecodeTooCostly("the image needs more memory (CLIPQUEUE_DECODE_MEMORY_BYTES)")


def _check_tiles(image: Image.Image) -> None:
    tags = getattr(image, "tag_v2", {})
    for tag, side in zip(_TILE_TAGS, image.size, strict=True):
        if int(tags.get(tag, 0)) > max(_LARGEST_SPARE_TILE, side + 15):
            raise TooManyPixels(f"tiles of {tags[tag]} pixels a side in a picture of {side}")


def _has_more_scans(content: bytes, limit: int) -> bool:
    """Count the scans of the first picture of a JPEG file (ITU-T T.81, annex B) without decoding any."""
    scans, position = 0, 2
    while found := _JPEG_MARKER.search(content, position):
        marker, position = found[0][1], found.end()
        if marker == _JPEG_END:
            break
        if marker == _JPEG_START_OF_SCAN:
            scans += 1
            if scans > limit:
                return True
        position += int.from_bytes(content[position : position + 2], "big")  # the segment, with its length
    return False


def _turn(image: Image.Image) -> Orientation:
    if image.format == "TIFF":  # Pillow has turned it while loading
        return UPRIGHT
    # The tag alone, and not ImageOps.exif_transpose, which rewrites the whole EXIF block and fails on broken ones.
    try:
        return ORIENTATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1), UPRIGHT)
    except _DAMAGED:
        return UPRIGHT
