"""Decodes image files with Pillow into pixels of the model's input size.

Runs inside a decoding process (`worker.decode.child`), since files from strangers can exploit bugs in the decoders.
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
from worker.decode.color_space import stated_space
from worker.decode.geometry import ORIENTATIONS, UPRIGHT, Orientation, crop_box, draft, scale
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

# Pillow detects formats by content, never by file name. Most of Pillow's past vulnerabilities were in formats that are
# left out here, such as EPS, PSD and FITS.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "HEIF")
# These formats give the number of frames in the header. Counting the frames of a GIF or TIFF would mean reading the
# whole file, so their frames are not counted: only the first is ever decoded.
_FORMATS_WITH_FRAME_COUNT = {"PNG", "WEBP", "AVIF", "HEIF", "MPO"}
# Pillow's C decoders report failed allocations as an OSError with one of these texts.
_OUT_OF_MEMORY = re.compile(r"decoder error -9|out of memory")
# A TIFF tile is decoded whole, even if most of it lies outside the image.
_TILE_TAGS = (322, 323)  # TileWidth and TileLength (TIFF 6.0, section 15)
_ALWAYS_ALLOWED_TILE_SIDE = 1024  # tiles up to this side may be larger than the image
_TILE_MULTIPLE = 16  # tile sides are multiples of 16

# Pillow's plug-ins raise these on damaged files. Pillow's own fuzz targets tolerate the same errors.
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

# Large images are first reduced by a whole factor, as long as they stay this many times larger than the model's input.
# The result hardly differs from one resize with the full filter.
_REDUCING_GAP = 1.5
# If the model's input is small, the reduced image must keep at least this many pixels on its shorter side, or fine
# texture turns into visible noise.
_MIN_REDUCED_SIDE = 192
# JPEG markers that start a segment. The excluded codes (stuffed bytes, TEM, restart markers and padding) start none
# (ITU-T T.81, B.1.1.2 and B.1.1.3).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_JPEG_START_OF_SCAN, _JPEG_END = 0xDA, 0xD9

# A file that starts like one of FORMATS but that Pillow does not recognize is damaged.
_SUPPORTED_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|II\*\x00|MM\x00\*|BM"
    rb"|....ftyp(avi[fs]|hei[cmsx]|hev[cmsx]|mif1|msf1)",
    re.DOTALL,
)
# Common content that is not supported. The names appear in error messages only.
_OTHER_SIGNATURES = (
    (rb"\s*(<\?xml[^>]*>\s*)?(<!doctype svg[^>]*>\s*)?<svg\b", "SVG"),
    (rb"\s*<(!doctype html|html|head|body|script)\b", "a web page"),
    (rb"%PDF-", "PDF"),
    (rb"PK\x03\x04", "a ZIP archive"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|Rar!|7z\xbc\xaf", "an archive"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (rb"....ftyp", "a video"),
)
_SIGNATURE_BYTES = 1024


@dataclass(frozen=True)
class DecodeLimits:
    """Limits on an image file.

    Attributes:
        max_pixels: Maximum width x height.
        max_side: Maximum width and maximum height in pixels.
        max_frames: Maximum number of frames that the header may state.
        max_scans: Maximum number of scans in a JPEG.
        allow_truncated: Whether to decode files that end too early, as far as they go.
    """

    max_pixels: int
    max_side: int
    max_frames: int
    max_scans: int
    allow_truncated: bool


@dataclass(frozen=True)
class DecodedImage:
    """Pixels for the encoder, and facts about the file.

    Attributes:
        pixels: uint8 array of shape (height, width, 3), sRGB, in the model's input size.
        width: Width in pixels of the original image, turned upright.
        height: Height in pixels of the original image, turned upright.
        format: The file format, one of `FORMATS`.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    format: str


class Decoder(Protocol):
    """Decodes image files into pixels."""

    def decode(self, content: bytes) -> DecodedImage:
        """Decode one image file. Raises PermanentError, TransientError or Requeue (`worker.errors`)."""
        ...


class PillowDecoder:
    """A `Decoder` that runs Pillow in this process. Changes global settings of Pillow."""

    def __init__(self, spec: PreprocessSpec, limits: DecodeLimits) -> None:
        self._spec = spec
        self._limits = limits
        self._reducing_gap = max(_REDUCING_GAP, _MIN_REDUCED_SIDE / min(spec.width, spec.height))
        self._filter = Image.Resampling[spec.interpolation.upper()]
        # Pillow itself only warns at this limit; the warning becomes an error.
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        ImageFile.LOAD_TRUNCATED_IMAGES = limits.allow_truncated
        # Several processes decode already, so each needs only one thread.
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        pillow_heif.register_heif_opener()
        pillow_heif.options.DECODE_THREADS = 1

    def decode(self, content: bytes) -> DecodedImage:
        """Decode the first frame: upright, composited on white, in sRGB, resized and cropped as open_clip does.

        Raises:
            UnsupportedFormat: The format is not one of `FORMATS`.
            TooManyPixels, TooManyFrames, TooManyScans: The image exceeds the limit that the error names.
            DecodeTooCostly: Decoding needs more memory than the process may use.
            CorruptImage: The file is damaged or truncated.
        """
        try:
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                self._check_limits(image, content)
                return self._decode(image, content)
        except UnidentifiedImageError:
            raise _unidentified_error(content) from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise TooManyPixels(f"the image has {self._pixel_limit()}") from None
        except MemoryError:
            raise _out_of_memory_error() from None
        except _DAMAGED as exc:
            if _OUT_OF_MEMORY.search(str(exc)):
                raise _out_of_memory_error() from None
            raise CorruptImage(f"the image cannot be decoded: {exc}") from None

    def _check_limits(self, image: Image.Image, content: bytes) -> None:
        """Raise an error if the header shows that the image exceeds a limit. Decodes no pixels."""
        limits = self._limits
        if image.width * image.height > limits.max_pixels:
            raise TooManyPixels(f"the image is {image.width}x{image.height}, {self._pixel_limit()}")
        if max(image.size) > limits.max_side:
            raise TooManyPixels(
                f"the image is {image.width}x{image.height}; a side may have at most {limits.max_side} pixels"
                " (CLIPQUEUE_MAX_SIDE)"
            )
        if image.format in _FORMATS_WITH_FRAME_COUNT and getattr(image, "n_frames", 1) > limits.max_frames:
            raise TooManyFrames(f"the image has more than {limits.max_frames} frames (CLIPQUEUE_MAX_FRAMES)")
        if image.format == "TIFF":
            _check_tiles(image)
        if image.format in ("JPEG", "MPO") and _has_more_scans(content, limits.max_scans):
            raise TooManyScans(f"the image has more than {limits.max_scans} scans (CLIPQUEUE_MAX_SCANS)")

    def _decode(self, image: Image.Image, content: bytes) -> DecodedImage:
        # Phones write JPEG files with more images after the first. Pillow calls them MPO.
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        space = stated_space(image, content)
        if file_format != "JPEG":
            # Reading a PNG's orientation loads the image and hides decoding errors, so load it before that.
            image.load()
        orientation, stored_size = _read_orientation(image), image.size
        width, height = orientation.orient_size(*stored_size)
        box = orientation.to_stored_box(crop_box(width, height, self._spec), *stored_size)
        size = orientation.orient_size(self._spec.width, self._spec.height)
        divisor = draft(image, box, size, self._reducing_gap)
        image.load()
        resized = flatten(image, space).resize(
            size, self._filter, box=scale(box, 1 / divisor), reducing_gap=self._reducing_gap
        )
        upright = orientation.apply(to_srgb(resized, space))
        return DecodedImage(np.asarray(upright), width, height, file_format)

    def _pixel_limit(self) -> str:
        return f"more than {self._limits.max_pixels} pixels (CLIPQUEUE_MAX_PIXELS)"


def _unidentified_error(content: bytes) -> UnsupportedFormat | CorruptImage:
    if _SUPPORTED_SIGNATURE.match(content):
        return CorruptImage("the image cannot be decoded: its header is damaged")
    return UnsupportedFormat(f"the content is {_describe(content)}; supported formats are {', '.join(FORMATS)}")


def _describe(content: bytes) -> str:
    start = content[:_SIGNATURE_BYTES]
    matches = (name for pattern, name in _OTHER_SIGNATURES if re.match(pattern, start, re.DOTALL | re.IGNORECASE))
    return next(matches, "not an image")


def _out_of_memory_error() -> DecodeTooCostly:
    return DecodeTooCostly("decoding the image needs more memory (CLIPQUEUE_DECODE_MEMORY_BYTES)")


def _check_tiles(image: Image.Image) -> None:
    tags = getattr(image, "tag_v2", {})
    for tag, side in zip(_TILE_TAGS, image.size, strict=True):
        tile_side = int(tags.get(tag, 0))
        if tile_side > max(_ALWAYS_ALLOWED_TILE_SIDE, side + _TILE_MULTIPLE - 1):
            raise TooManyPixels(f"a tile side has {tile_side} pixels, but the image's side has {side}")


def _has_more_scans(content: bytes, limit: int) -> bool:
    """Return whether the first image of a JPEG file has more than `limit` scans (ITU-T T.81, annex B)."""
    scans, position = 0, 2
    while found := _JPEG_MARKER.search(content, position):
        marker, position = found[0][1], found.end()
        if marker == _JPEG_END:
            break
        if marker == _JPEG_START_OF_SCAN:
            scans += 1
            if scans > limit:
                return True
        position += int.from_bytes(content[position : position + 2], "big")  # the length counts itself
    return False


def _read_orientation(image: Image.Image) -> Orientation:
    if image.format == "TIFF":  # Pillow turns TIFF images upright when it loads them
        return UPRIGHT
    # ImageOps.exif_transpose is not used: it rewrites the whole EXIF block and fails if the block is damaged.
    try:
        return ORIENTATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1), UPRIGHT)
    except _DAMAGED:
        return UPRIGHT
