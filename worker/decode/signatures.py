"""Recognizes a file by its first bytes, for a clear error message when it is not a supported image."""

from __future__ import annotations

import re

# The supported formats. A file that starts like one of them, but cannot be opened, is damaged.
_DECODED = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|II\*\x00|MM\x00\*|BM|....ftyp(avi[fs]|hei[cmsx]|hev[cmsx]|mif1|msf1)",
    re.DOTALL,
)
_OTHERS = (
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!doctype svg[^>]*>\s*)?<svg\b", re.IGNORECASE), "SVG"),
    (re.compile(rb"\s*(<!doctype html|<html|<head|<body|<script)\b", re.IGNORECASE), "a web page"),
    (re.compile(rb"%PDF-"), "PDF"),
    (re.compile(rb"%!PS"), "PostScript"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive"),
    (re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|Rar!|7z\xbc\xaf"), "an archive"),
    (re.compile(rb"8BPS"), "Photoshop"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "JPEG XL"),
    (re.compile(rb"....ftyp", re.DOTALL), "a video"),
    (re.compile(rb"\x00\x00[\x01\x02]\x00"), "an icon"),
)
_MAX_BYTES = 1024


def is_supported(content: bytes) -> bool:
    """Return whether the file starts like a supported format."""
    return _DECODED.match(content) is not None


def describe(content: bytes) -> str:
    """Return what the file seems to be, to complete "the content is ..."; "no image" if unknown."""
    start = content[:_MAX_BYTES]
    return next((name for pattern, name in _OTHERS if pattern.match(start)), "no image")
