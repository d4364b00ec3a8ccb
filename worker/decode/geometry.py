"""Computes which part of a stored image becomes the model's input: EXIF orientation, crop, and JPEG draft scale.

Boxes are (left, top, right, bottom) in pixels. "Stored" means as in the file, "upright" means after orientation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from worker.spec import PreprocessSpec

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Orientation:
    """How to turn the stored image upright, and how to map upright coordinates back to stored ones."""

    transpose: Image.Transpose | None
    swaps_axes: bool = False
    mirrors_x: bool = False
    mirrors_y: bool = False

    def orient_size(self, width: int, height: int) -> tuple[int, int]:
        """Convert a (width, height) between stored and upright. The conversion is the same in both directions."""
        return (height, width) if self.swaps_axes else (width, height)

    def to_stored_box(self, box: Box, width: int, height: int) -> Box:
        """Convert a box of the upright image to the stored image, whose size is width x height."""
        xs, ys = (box[0], box[2]), (box[1], box[3])
        if self.swaps_axes:
            xs, ys = ys, xs
        if self.mirrors_x:
            xs = (width - xs[1], width - xs[0])
        if self.mirrors_y:
            ys = (height - ys[1], height - ys[0])
        return (xs[0], ys[0], xs[1], ys[1])

    def apply(self, image: Image.Image) -> Image.Image:
        """Return the stored image turned upright."""
        return image if self.transpose is None else image.transpose(self.transpose)


UPRIGHT = Orientation(None)
# Keys are values of the EXIF tag Orientation (Exif 2.32, section 4.6.5). Value 1 is upright.
ORIENTATIONS = {
    2: Orientation(Image.Transpose.FLIP_LEFT_RIGHT, mirrors_x=True),
    3: Orientation(Image.Transpose.ROTATE_180, mirrors_x=True, mirrors_y=True),
    4: Orientation(Image.Transpose.FLIP_TOP_BOTTOM, mirrors_y=True),
    5: Orientation(Image.Transpose.TRANSPOSE, swaps_axes=True),
    6: Orientation(Image.Transpose.ROTATE_270, swaps_axes=True, mirrors_y=True),
    7: Orientation(Image.Transpose.TRANSVERSE, swaps_axes=True, mirrors_x=True, mirrors_y=True),
    8: Orientation(Image.Transpose.ROTATE_90, swaps_axes=True, mirrors_x=True),
}


def crop_box(width: int, height: int, spec: PreprocessSpec) -> Box:
    """Return the box that becomes the model's input, within an upright image of width x height.

    Rounds as torchvision does: Resize rounds the long side down, CenterCrop rounds its offset as `round` does.
    """
    if spec.resize_mode == "squash":
        return (0.0, 0.0, float(width), float(height))
    short_side = max(spec.width, spec.height)  # of the resized image
    if width <= height:
        new_width, new_height = short_side, int(short_side * height / width)
    else:
        new_width, new_height = int(short_side * width / height), short_side
    left, top = round((new_width - spec.width) / 2), round((new_height - spec.height) / 2)
    step_x, step_y = width / new_width, height / new_height
    return (left * step_x, top * step_y, (left + spec.width) * step_x, (top + spec.height) * step_y)


def scale(box: Box, factor: float) -> Box:
    """Return the box with every coordinate multiplied by `factor`."""
    return (box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor)


def draft(image: Image.Image, box: Box, size: tuple[int, int], reducing_gap: float) -> float:
    """Let libjpeg decode at 1/2, 1/4 or 1/8 of the full size if that leaves enough resolution. JPEG only.

    Args:
        image: An opened image that is not loaded yet.
        box: The part of the stored image that will be resized.
        size: Width and height that `box` will be resized to.
        reducing_gap: The decoded box must be at least this many times larger than `size`.

    Returns:
        The stored width divided by the decoded width; 1.0 if the image is decoded at full size.
    """
    width, height = image.size
    excess = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1]) / reducing_gap
    drafted = image.draft(None, (math.ceil(width / excess), math.ceil(height / excess))) if excess > 1 else None
    return width / drafted[1][2] if drafted else 1.0
