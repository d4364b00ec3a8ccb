"""Prepares an AVIF or HEIC for Pillow (the container: ISO/IEC 14496-12 and 23008-12).

Only the container's own properties turn the picture; EXIF and XMP in it do not, as in Chromium and libheif.
"""

from __future__ import annotations

import re

from worker.decode.formats.still import Still

# The entry of an EXIF block in the list of items, versions 2 and 3 (ISO/IEC 14496-12, 8.11.6).
_EXIF_ENTRY = re.compile(rb"(infe\x02.{7}|infe\x03.{9})Exif", re.DOTALL)
_UNKNOWN = rb"\1skip"


def reduce_heif(content: bytes) -> Still:
    """Return the file with its EXIF blocks hidden, since libavif refuses a file for a damaged one."""
    return Still(_EXIF_ENTRY.sub(_UNKNOWN, content))
