"""Turns the bytes of an image file into the pixels that the model's vision tower takes."""

from __future__ import annotations

import math
import struct
import threading
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from worker.errors import CorruptImage, NotAnImage, TooManyPixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

# By content, never by name. What is left out (EPS, PSD, FITS, ...) holds nearly all of Pillow's past holes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")

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
    MemoryError,
    struct.error,
)
# Modes that resize as they are and turn into RGB afterwards, on fewer pixels.
_RESIZABLE = {"RGB", "L", "CMYK", "YCbCr"}

# Pixels of the shorter side that shrinking in whole steps leaves at least.
_LEAST_KEPT = 192

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Turn:
    """How stored pixels become the upright picture: a transposition, and where an upright point is stored."""

    transpose: Image.Transpose | None
    swaps_axes: bool = False
    mirrors_x: bool = False
    mirrors_y: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        return (height, width) if self.swaps_axes else (width, height)

    def stored_box(self, box: Box, width: int, height: int) -> Box:
        """Return where `box` of the upright picture lies in the stored one of width x height."""
        xs, ys = (box[0], box[2]), (box[1], box[3])
        if self.swaps_axes:
            xs, ys = ys, xs
        if self.mirrors_x:
            xs = (width - xs[1], width - xs[0])
        if self.mirrors_y:
            ys = (height - ys[1], height - ys[0])
        return (xs[0], ys[0], xs[1], ys[1])

    def apply(self, image: Image.Image) -> Image.Image:
        return image if self.transpose is None else image.transpose(self.transpose)


_UPRIGHT = _Turn(None)
# The values of the EXIF tag Orientation (Exif 2.32, 4.6.5).
_TURNS = {
    2: _Turn(Image.Transpose.FLIP_LEFT_RIGHT, mirrors_x=True),
    3: _Turn(Image.Transpose.ROTATE_180, mirrors_x=True, mirrors_y=True),
    4: _Turn(Image.Transpose.FLIP_TOP_BOTTOM, mirrors_y=True),
    5: _Turn(Image.Transpose.TRANSPOSE, swaps_axes=True),
    6: _Turn(Image.Transpose.ROTATE_270, swaps_axes=True, mirrors_y=True),
    7: _Turn(Image.Transpose.TRANSVERSE, swaps_axes=True, mirrors_x=True, mirrors_y=True),
    8: _Turn(Image.Transpose.ROTATE_90, swaps_axes=True, mirrors_x=True),
}


@dataclass(frozen=True)
class PreprocessSpec:
    """What the model's vision tower takes: the part of open_clip's preprocessing that concerns geometry.

    Attributes:
        height: Pixels of the input, top to bottom.
        width: Pixels of the input, left to right.
        resize_mode: `shortest` scales the shorter side and crops the centre, `squash` ignores the aspect ratio.
        interpolation: The filter for resizing.
    """

    height: int
    width: int
    resize_mode: Literal["shortest", "squash"] = "shortest"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"


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


class Decoder:
    """Decodes with Pillow; safe to share between threads, of which a bounded number decode at once.

    Args:
        spec: The size and manner of the model's input.
        max_pixels: Most pixels of one image, checked on the header before a bitmap exists.
        parallel: Most images being decoded at once: bounds memory, and leaves the model thread its share.
    """

    def __init__(self, spec: PreprocessSpec, *, max_pixels: int, parallel: int) -> None:
        self._spec = spec
        self._max_pixels = max_pixels
        self._slots = threading.BoundedSemaphore(parallel)
        # Large pictures shrink in whole steps first, while this many times the input's resolution remains. From 2 on
        # the result is hardly distinguishable; a small input shows more of it, since fine texture becomes noise there.
        self._gap = max(2.0, _LEAST_KEPT / min(spec.width, spec.height))
        self._filter = Image.Resampling[spec.interpolation.upper()]
        # Ours is the limit that counts; Pillow's own would only warn. Both are global to the process.
        Image.MAX_IMAGE_PIXELS = max_pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)

    def decode(self, content: bytes) -> DecodedImage:
        """Decode the first frame, upright, on white, as open_clip's own transform would resize and crop it.

        Raises:
            NotAnImage: No format that is decoded.
            TooManyPixels: Larger than the limit.
            CorruptImage: Damaged or cut short.
        """
        with self._slots:
            try:
                with Image.open(BytesIO(content), formats=FORMATS) as image:
                    return self._decode(image)
            except UnidentifiedImageError:
                raise NotAnImage(f"the content is none of {', '.join(FORMATS)}") from None
            except (Image.DecompressionBombError, Image.DecompressionBombWarning):
                raise TooManyPixels(self._too_many()) from None
            except _DAMAGED as exc:
                raise CorruptImage(f"the image cannot be decoded: {exc}") from None

    def _decode(self, image: Image.Image) -> DecodedImage:
        if image.width * image.height > self._max_pixels:
            raise TooManyPixels(f"{image.width}x{image.height}: {self._too_many()}")
        # MPO is what Pillow calls a JPEG with further pictures behind the first, as phones write it.
        file_format = "JPEG" if image.format == "MPO" else str(image.format)
        turn, stored = _turn(image), image.size
        width, height = turn.size(*stored)
        box = turn.stored_box(_crop_box(width, height, self._spec), *stored)
        size = turn.size(self._spec.width, self._spec.height)
        shrunk = _draft(image, box, size, self._gap)
        image.load()
        resized = _flatten(image).resize(size, self._filter, box=_scale(box, 1 / shrunk), reducing_gap=self._gap)
        return DecodedImage(np.asarray(turn.apply(resized.convert("RGB"))), width, height, file_format)

    def _too_many(self) -> str:
        return f"more than {self._max_pixels} pixels (CLIPQUEUE_MAX_PIXELS)"


def _crop_box(width: int, height: int, spec: PreprocessSpec) -> Box:
    """Return the part of the upright picture that ends up in the model's input, in source pixels.

    Follows torchvision's Resize (long side rounded down) and CenterCrop (offset rounded half to even).
    """
    if spec.resize_mode == "squash":
        return (0.0, 0.0, float(width), float(height))
    short = max(spec.width, spec.height)
    if width <= height:
        new_width, new_height = short, int(short * height / width)
    else:
        new_width, new_height = int(short * width / height), short
    left, top = round((new_width - spec.width) / 2), round((new_height - spec.height) / 2)
    step_x, step_y = width / new_width, height / new_height
    return (left * step_x, top * step_y, (left + spec.width) * step_x, (top + spec.height) * step_y)


def _scale(box: Box, factor: float) -> Box:
    return (box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor)


def _draft(image: Image.Image, box: Box, size: tuple[int, int], gap: float) -> float:
    """Let libjpeg decode at 1/2, 1/4 or 1/8 while `gap` times the input's resolution remains; return the divisor."""
    width, height = image.size
    excess = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]) / gap
    drafted = image.draft(None, (math.ceil(width / excess), math.ceil(height / excess))) if excess > 1 else None
    return width / drafted[1][2] if drafted else 1.0


def _turn(image: Image.Image) -> _Turn:
    # The tag alone, and not ImageOps.exif_transpose, which rewrites the whole EXIF block and fails on broken ones.
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1), _UPRIGHT)
    except _DAMAGED:
        return _UPRIGHT


def _flatten(image: Image.Image) -> Image.Image:
    """Return the picture in a mode that can be resized: on white, 8 bits a channel, no palette."""
    if image.mode.startswith("I"):
        return _to_8_bits(image)
    if image.has_transparency_data:
        return _on_white(image.convert("RGBA"))
    return image if image.mode in _RESIZABLE else image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    # convert("RGB") clips 16-bit greys to white (python-pillow/Pillow#3011).
    values = np.clip(np.asarray(image), 0, 65_535)
    return Image.fromarray((values // 256).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    # convert("RGB") would drop the alpha channel and show whatever colour lies under it.
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    return white.convert("RGB")
