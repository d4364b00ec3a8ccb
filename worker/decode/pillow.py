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
from worker.decode.geometry import ORIENTATIONS, UPRIGHT, Orientation, crop_box, draft, scale
from worker.decode.signatures import FORMATS, unidentified_error
from worker.errors import CorruptImage, DecodeTooCostly

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
            with Image.open(BytesIO(content), formats=FORMATS) as image:
                self._limits.check(image, content)
                return self._decode(image)
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

    def _decode(self, image: Image.Image) -> DecodedImage:
        # Phones write JPEG files with more images after the first. Pillow calls them MPO.
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        profile = image.info.get("icc_profile")
        if file_format != "JPEG":
            # Reading a PNG's orientation loads the image and hides decoding errors, so load it before that.
            image.load()
        orientation, stored_size = _read_orientation(image), image.size
        width, height = orientation.orient_size(*stored_size)
        box = orientation.to_stored_box(crop_box(width, height, self._spec), *stored_size)
        size = orientation.orient_size(self._spec.width, self._spec.height)
        divisor = draft(image, box, size, self._reducing_gap)
        image.load()
        resized = flatten(image).resize(
            size, self._filter, box=scale(box, 1 / divisor), reducing_gap=self._reducing_gap
        )
        upright = orientation.apply(to_srgb(resized, profile))
        return DecodedImage(np.asarray(upright), width, height, file_format)


def _out_of_memory_error() -> DecodeTooCostly:
    return DecodeTooCostly("decoding the image needs more memory (CLIPQUEUE_DECODE_MEMORY_BYTES)")


def _read_orientation(image: Image.Image) -> Orientation:
    if image.format == "TIFF":  # Pillow turns TIFF images upright when it loads them
        return UPRIGHT
    # ImageOps.exif_transpose is not used: it rewrites the whole EXIF block and fails if the block is damaged.
    try:
        return ORIENTATIONS.get(image.getexif().get(ExifTags.Base.Orientation, 1), UPRIGHT)
    except _DAMAGED:
        return UPRIGHT
