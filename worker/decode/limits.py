"""The limits on an image file that its header already shows. No pixels are decoded here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import TooManyFrames, TooManyPixels, TooManyScans

if TYPE_CHECKING:
    from PIL import Image

# Profiles of printing presses take a few megabytes. Larger ones are ignored, since parsing them costs too much.
MAX_PROFILE_BYTES = 4 * 1024 * 1024
# Pillow gives the number of frames of these formats without decoding them. `worker.decode.formats.png_frames` checks
# that of a PNG. Counting the frames of a GIF or TIFF would mean reading the whole file: only the first is ever decoded.
_FORMATS_WITH_FRAME_COUNT = {"WEBP", "AVIF", "HEIF"}
# A TIFF tile is decoded whole, even if most of it lies outside the image.
_TILE_TAGS = (322, 323)  # TileWidth and TileLength (TIFF 6.0, section 15)
_ALWAYS_ALLOWED_TILE_SIDE = 1024  # tiles up to this side may be larger than the image
_TILE_MULTIPLE = 16  # tile sides are multiples of 16
# JPEG markers that start a segment. The excluded codes (stuffed bytes, TEM, restart markers and padding) start none
# (ITU-T T.81, B.1.1.2 and B.1.1.3).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_JPEG_START_OF_SCAN, _JPEG_END = 0xDA, 0xD9


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

    def check(self, image: Image.Image, content: bytes) -> None:
        """Check an image that Pillow has opened and not loaded.

        Args:
            image: The opened image.
            content: The file that it was opened from.

        Raises:
            TooManyPixels, TooManyFrames, TooManyScans: The image exceeds the limit that the error names.
        """
        self.check_size(*image.size)
        if image.format in _FORMATS_WITH_FRAME_COUNT and getattr(image, "n_frames", 1) > self.max_frames:
            raise TooManyFrames(f"the image has more than {self.max_frames} frames (CLIPQUEUE_MAX_FRAMES)")
        if image.format == "TIFF":
            tags = getattr(image, "tag_v2", {})
            check_tile((int(tags.get(_TILE_TAGS[0], 0)), int(tags.get(_TILE_TAGS[1], 0))), image.size)
        if image.format == "JPEG" and _has_more_scans(content, self.max_scans):
            raise TooManyScans(f"the image has more than {self.max_scans} scans (CLIPQUEUE_MAX_SCANS)")

    def check_size(self, width: int, height: int) -> None:
        """Raise TooManyPixels if a picture of this size exceeds a limit."""
        if width * height > self.max_pixels:
            raise self.too_many_pixels(f"the image is {width}x{height},")
        if max(width, height) > self.max_side:
            raise TooManyPixels(
                f"the image is {width}x{height}; a side may have at most {self.max_side} pixels (CLIPQUEUE_MAX_SIDE)"
            )

    def too_many_pixels(self, found: str = "the image has") -> TooManyPixels:
        """Return the error for an image with too many pixels; `found` starts the message."""
        return TooManyPixels(f"{found} more than {self.max_pixels} pixels (CLIPQUEUE_MAX_PIXELS)")


def check_tile(tile: tuple[int, int], size: tuple[int, int]) -> None:
    """Check the width and height of a TIFF's tiles; `size` is that of the image. Raises TooManyPixels."""
    for tile_side, side in zip(tile, size, strict=True):
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
