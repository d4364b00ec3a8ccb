"""Decodes an image file into the pixels that the model's vision tower takes. Runs in a decoding process."""

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
from worker.decode.signatures import describe, is_supported
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

# Recognized by content, never by name. Most of Pillow's past vulnerabilities were in formats left out here.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "HEIF")
# The header of these formats has the number of frames. To count those of a GIF or TIFF, the whole file must be read;
# only the first frame is decoded.
_FRAME_COUNT_IN_HEADER = {"PNG", "WEBP", "AVIF", "HEIF", "MPO"}
# The text of Pillow's OSError when one of its C decoders runs out of memory.
_OUT_OF_MEMORY = re.compile(r"decoder error -9|out of memory")
# TIFF tiles may be larger than the image. Decoding costs the tile's size, which the pixel limit does not see.
_TILE_TAGS = (322, 323)  # TileWidth, TileLength (TIFF 6.0, section 15)
_MAX_EXCESS_TILE = 1024

# Pillow's plug-ins raise these on damaged files; its own fuzz targets accept the same list.
_DAMAGE_ERRORS = (
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

# Large images are reduced by whole factors before the filter runs, down to this multiple of the input's size. The
# difference is hardly visible, but grows for small inputs, where fine texture becomes noise. Hence the minimum.
_REDUCING_GAP = 1.5
_MIN_REDUCED_SIDE = 192
# A JPEG marker that starts a segment; stuffed bytes, restarts, padding and TEM do not (T.81, B.1.1.2 and B.1.1.3).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_JPEG_START_OF_SCAN, _JPEG_END = 0xDA, 0xD9


@dataclass(frozen=True)
class DecodeLimits:
    """Limits for an image file: pixels, pixels of one side, frames, scans, and whether it may be truncated."""

    max_pixels: int
    max_side: int
    max_frames: int
    max_scans: int
    allow_truncated: bool


@dataclass(frozen=True)
class DecodedImage:
    """Pixels for the encoder, and facts about the file.

    Attributes:
        pixels: uint8 of shape (height, width, 3), RGB, in the size of the model's input.
        width: Pixels of the whole image, with its orientation applied.
        height: Pixels of the whole image, with its orientation applied.
        format: One of `FORMATS`.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str


class Decoder(Protocol):
    """Decodes image files."""

    def decode(self, content: bytes) -> DecodedImage:
        """Return the pixels. Raises PermanentError or TransientError (see `worker.errors`)."""
        ...


class PillowDecoder:
    """A `Decoder` that runs Pillow in this process, and sets process-wide limits of Pillow."""

    def __init__(self, spec: PreprocessSpec, limits: DecodeLimits) -> None:
        self._spec = spec
        self._limits = limits
        self._gap = max(_REDUCING_GAP, _MIN_REDUCED_SIDE / min(spec.width, spec.height))
        self._filter = Image.Resampling[spec.interpolation.upper()]
        # Pillow only warns above its own limit; make that an error.
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        ImageFile.LOAD_TRUNCATED_IMAGES = limits.allow_truncated
        # Several processes decode at once already.
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        pillow_heif.register_heif_opener()
        pillow_heif.options.DECODE_THREADS = 1

    def decode(self, content: bytes) -> DecodedImage:
        """Decode the first frame, upright, on white, in sRGB, resized and cropped like open_clip's own transform.

        Raises:
            UnsupportedFormat: The format is not in `FORMATS`.
            TooManyPixels, TooManyFrames, TooManyScans: The file exceeds a limit.
            DecodeTooCostly: The process ran out of memory.
            CorruptImage: The file is damaged or truncated.
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
        except _DAMAGE_ERRORS as exc:
            if _OUT_OF_MEMORY.search(str(exc)):
                raise _too_much_memory() from None
            raise CorruptImage(f"the image cannot be decoded: {exc}") from None

    def _check(self, image: Image.Image, content: bytes) -> None:
        """Raise if the header announces more than the limits allow."""
        limits = self._limits
        if image.width * image.height > limits.max_pixels:
            raise TooManyPixels(f"{image.width}x{image.height}: {self._too_many()}")
        if max(image.size) > limits.max_side:
            raise TooManyPixels(f"{image.width}x{image.height}: a side above {limits.max_side} (CLIPQUEUE_MAX_SIDE)")
        if image.format in _FRAME_COUNT_IN_HEADER and getattr(image, "n_frames", 1) > limits.max_frames:
            raise TooManyFrames(f"more than {limits.max_frames} frames (CLIPQUEUE_MAX_FRAMES)")
        if image.format == "TIFF":
            _check_tiles(image)
        if image.format in ("JPEG", "MPO") and _has_more_scans(content, limits.max_scans):
            raise TooManyScans(f"more than {limits.max_scans} scans (CLIPQUEUE_MAX_SCANS)")

    def _decode(self, image: Image.Image) -> DecodedImage:
        # Pillow calls a JPEG with more images behind the first MPO. Phones write such files.
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        profile = image.info.get("icc_profile")
        if file_format != "JPEG":
            # Reading the orientation loads a PNG too, and hides its errors. So load first.
            image.load()
        orientation, stored = _orientation(image), image.size
        width, height = orientation.size(*stored)
        box = orientation.stored_box(crop_box(width, height, self._spec), *stored)
        size = orientation.size(self._spec.width, self._spec.height)
        shrunk = draft(image, box, size, self._gap)
        image.load()
        resized = flatten(image).resize(size, self._filter, box=scale(box, 1 / shrunk), reducing_gap=self._gap)
        return DecodedImage(np.asarray(orientation.apply(to_srgb(resized, profile))), width, height, file_format)

    def _too_many(self) -> str:
        return f"more than {self._limits.max_pixels} pixels (CLIPQUEUE_MAX_PIXELS)"


def _unidentified(content: bytes) -> UnsupportedFormat | CorruptImage:
    if is_supported(content):
        return CorruptImage("the image cannot be decoded: its header is damaged")
    return UnsupportedFormat(f"the content is {describe(content)}; supported formats: {', '.join(FORMATS)}")


def _too_much_memory() -> DecodeTooCostly:
    return DecodeTooCostly("decoding takes more memory than allowed (CLIPQUEUE_DECODE_MEMORY_BYTES)")


def _check_tiles(image: Image.Image) -> None:
    tags = getattr(image, "tag_v2", {})
    for tag, side in zip(_TILE_TAGS, image.size, strict=True):
        if int(tags.get(tag, 0)) > max(_MAX_EXCESS_TILE, side + 15):
            raise TooManyPixels(f"tiles with a side of {tags[tag]} pixels in an image with a side of {side}")


def _has_more_scans(content: bytes, limit: int) -> bool:
    """Return whether the first image of a JPEG file has more scans than `limit` (ITU-T T.81, annex B)."""
    scans, position = 0, 2
    while found := _JPEG_MARKER.search(content, position):
        marker, position = found[0][1], found.end()
        if marker == _JPEG_END:
            break
        if marker == _JPEG_START_OF_SCAN:
            scans += 1
            if scans > limit:
                return True
        position += int.from_bytes(content[position : position + 2], "big")  # skip the segment
    return False


def _orientation(image: Image.Image) -> Orientation:
    if image.format == "TIFF":  # Pillow applies it while loading
        return UPRIGHT
    # ImageOps.exif_transpose rewrites the whole EXIF block, and fails if that is damaged. Read only this tag.
    try:
        return ORIENTATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1), UPRIGHT)
    except _DAMAGE_ERRORS:
        return UPRIGHT
