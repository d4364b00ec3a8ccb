"""The supported formats, and the error for content that Pillow does not recognize as one of them."""

from __future__ import annotations

import re

from worker.errors import CorruptImage, UnsupportedFormat

# Pillow detects formats by content, never by file name. Most of Pillow's past vulnerabilities were in formats that are
# left out here, such as EPS, PSD and FITS.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", "HEIF")

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


def unidentified_error(content: bytes) -> UnsupportedFormat | CorruptImage:
    """Return the error for a file that Pillow does not recognize: damaged, or of no supported format."""
    if _SUPPORTED_SIGNATURE.match(content):
        return CorruptImage("the image cannot be decoded: its header is damaged")
    return UnsupportedFormat(f"the content is {_describe(content)}; supported formats are {', '.join(FORMATS)}")


def _describe(content: bytes) -> str:
    start = content[:_SIGNATURE_BYTES]
    matches = (name for pattern, name in _OTHER_SIGNATURES if re.match(pattern, start, re.DOTALL | re.IGNORECASE))
    return next(matches, "not an image")
