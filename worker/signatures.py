"""Tells by its first bytes what a file is. Parses nothing, so that a download can ask too.

Servers often send the wrong `Content-Type`, so neither the fetcher nor the decoder trusts it.
"""

from __future__ import annotations

import re

# A caller passes at least this many bytes, or the whole file if it is shorter.
SIGNATURE_BYTES = 1024

# A file that starts like a supported format but that Pillow does not recognize is damaged.
_SUPPORTED = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|II\*\x00|MM\x00\*|BM"
    rb"|....ftyp(avi[fs]|hei[cmsx]|hev[cmsx]|mif1|msf1)",
    re.DOTALL,
)
# The two letters of a BMP can also start a text, or a compressed file. The size of its second header cannot.
_BMP = re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL)
_WEB_PAGE = "a web page"
# Common content that is not supported. The names appear in error messages only.
_OTHERS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), name)
    for pattern, name in (
        (rb"\s*(<\?xml[^>]*>\s*)?(<!doctype svg[^>]*>\s*)?<svg\b", "SVG"),
        (
            rb"(\xef\xbb\xbf)?\s*(<!--.{0,500}?-->\s*)?<(!doctype html|html|head|title|body|script|style|meta)\b",
            _WEB_PAGE,
        ),
        (rb"%PDF-", "PDF"),
        (rb"PK\x03\x04", "a ZIP archive"),
        (rb"\x1f\x8b|BZh|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|Rar!|7z\xbc\xaf", "an archive"),
        (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "JPEG XL"),
        (rb"....ftyp", "a video"),
    )
)


def is_supported(content: bytes) -> bool:
    """Return whether a file starts like one of the formats that are decoded."""
    return _SUPPORTED.match(content) is not None


def is_surely_supported(content: bytes) -> bool:
    """Return whether a file starts like one of the formats that are decoded, and like nothing else."""
    return is_supported(content) and (not content.startswith(b"BM") or _BMP.match(content) is not None)


def is_web_page(content: bytes) -> bool:
    """Return whether a file starts like an HTML page."""
    return describe(content) == _WEB_PAGE


def describe(content: bytes) -> str:
    """Return what a file that is not supported seems to be."""
    start = content[:SIGNATURE_BYTES]
    return next((name for pattern, name in _OTHERS if pattern.match(start)), "not an image")
