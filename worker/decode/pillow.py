"""Decodes image files with Pillow into pixels of the model's input size.

Runs inside a decoding process (`worker.decode.child`), since files from strangers can exploit bugs in the decoders.
"""

from __future__ import annotations

import re
import struct
import warnings
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, Image, ImageFile, UnidentifiedImageError

from worker.decode.color.space import stated_space
from worker.decode.color.srgb import flatten, to_srgb
from worker.decode.formats.exif import read_orientation
from worker.decode.formats.jpeg import ENDINGS, lacks_end
from worker.decode.formats.png_chunks import SIGNATURE
from worker.decode.formats.png_repair import lacks_rows, repacked
from worker.decode.formats.reducing import reduce_file
from worker.decode.geometry import crop_box, draft, scale
from worker.decode.supported import FORMATS, unidentified_error
from worker.decode.tiff.layout import is_tiff
from worker.decode.tiff.opening import open_tiff
from worker.errors import CorruptImage, DecodeTooCostly

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from worker.decode.color.space import Space
    from worker.decode.formats.still import Still
    from worker.decode.geometry import Orientation
    from worker.decode.limits import DecodeLimits
    from worker.spec import PreprocessSpec

# Pillow's C decoders report failed allocations as an OSError with one of these texts.
_OUT_OF_MEMORY = re.compile(r"decoder error -9|out of memory")

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
            still = reduce_file(content, self._limits)
            try:
                return self._decode(still)
            except _DAMAGED:
                if image := self._decode_otherwise(still):
                    return image
                raise
        except UnidentifiedImageError:
            raise unidentified_error(content) from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise self._limits.too_many_pixels() from None
        except MemoryError:
            raise _out_of_memory_error() from None
        except _DAMAGED as exc:
            if _OUT_OF_MEMORY.search(str(exc)):
                raise _out_of_memory_error() from None
            raise CorruptImage(f"the image cannot be decoded: {exc}") from None

    def _open(self, content: bytes) -> Image.Image:
        return open_tiff(content, self._limits) if is_tiff(content) else Image.open(BytesIO(content), formats=FORMATS)

    def _decode(self, still: Still) -> DecodedImage:
        with self._open(still.content) as opened:
            self._limits.check(opened, still.content)
            file_format, space = str(opened.format), stated_space(opened, still.original, still.profile)
            if file_format != "JPEG":
                opened.load()
            if file_format == "PNG" and not self._limits.allow_truncated and lacks_rows(still.content, opened):
                raise CorruptImage("the image cannot be decoded: its last rows are missing")
            image, orientation = still.complete(opened), _orientation(opened, still)
            pixels, (width, height) = self._resize(image, orientation, space)
            return DecodedImage(pixels, width, height, file_format)

    def _decode_otherwise(self, still: Still) -> DecodedImage | None:
        """Decode a file that Pillow refuses although all its pixels are there. Return None for others."""
        if lacks_end(still.content):
            return self._decode_endless(still)
        if not still.content.startswith(SIGNATURE):
            return None
        content = repacked(still.content, self._limits.max_pixels)
        return self._decode(replace(still, content=content)) if content else None

    def _decode_endless(self, still: Still) -> DecodedImage:
        """Decode a JPEG without an end marker, which is whole if nothing that might follow changes the pixels."""
        first, second = (self._decode(replace(still, content=still.content + ending)) for ending in ENDINGS)
        if not np.array_equal(first.pixels, second.pixels):
            raise CorruptImage("the image cannot be decoded: the file is truncated")
        return first

    def _resize(
        self, image: Image.Image, orientation: Orientation, space: Space | None
    ) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """Return the model's pixels, and the size of the upright image."""
        stored_size = image.size
        width, height = orientation.orient_size(*stored_size)
        box = orientation.to_stored_box(crop_box(width, height, self._spec), *stored_size)
        size = orientation.orient_size(self._spec.width, self._spec.height)
        divisor = draft(image, box, size, self._reducing_gap)
        image.load()
        resized = flatten(image, space).resize(
            size, self._filter, box=scale(box, 1 / divisor), reducing_gap=self._reducing_gap
        )
        return np.asarray(orientation.apply(to_srgb(resized, space))), (width, height)


def _out_of_memory_error() -> DecodeTooCostly:
    return DecodeTooCostly("decoding the image needs more memory (CLIPQUEUE_DECODE_MEMORY_BYTES)")


def _orientation(image: Image.Image, still: Still) -> Orientation:
    """Return how to turn an image upright. Pillow and libheif turn TIFF and HEIC themselves when they load them."""
    if image.format == "AVIF":  # Pillow writes the rotation that the container states into an EXIF block
        return read_orientation(image.info.get("exif", b"").removeprefix(b"Exif\0\0"))
    return still.orientation
