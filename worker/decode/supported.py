"""The supported formats, and the error for content that Pillow does not recognize as one of them."""

from __future__ import annotations

from worker.errors import CorruptImage, UnsupportedFormat
from worker.signatures import describe, is_supported

# Pillow detects formats by content, never by file name. Most of Pillow's past vulnerabilities were in formats that are
# left out here, such as EPS, PSD and FITS.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "HEIF")


def unidentified_error(content: bytes) -> UnsupportedFormat | CorruptImage:
    """Return the error for a file that Pillow does not recognize: damaged, or of no supported format."""
    if is_supported(content):
        return CorruptImage("the image cannot be decoded: its header is damaged")
    return UnsupportedFormat(f"the content is {describe(content)}; supported formats are {', '.join(FORMATS)}")
