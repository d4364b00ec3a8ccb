"""Refuses the kinds of JPEG that nothing here decodes, before libjpeg sees them (ITU-T T.81, table B.1).

The file is sound, so the error does not call it damaged. Chromium draws none of these kinds.
"""

from __future__ import annotations

from worker.errors import UnsupportedFormat

# By the marker that starts the frame. libjpeg-turbo 3 decodes lossless files, but takes their YCbCr for RGB.
_UNREADABLE = {
    **dict.fromkeys((0xC3, 0xCB), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical JPEG"),
    0xF7: "a JPEG-LS",  # ITU-T T.87, annex C.1.1
}
_READABLE = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # baseline, extended and progressive, by Huffman and arithmetic coding
_TWELVE_BITS = 12  # the only other depth that these have; any other is damage


def check_kind(marker: int, body: bytes) -> None:
    """Check one segment of a JPEG.

    Args:
        marker: The second byte of the segment's marker.
        body: What follows the segment's length.

    Raises:
        UnsupportedFormat: The segment starts a frame of a kind that cannot be decoded.
    """
    kind = _UNREADABLE.get(marker)
    if marker in _READABLE and body[:1] == bytes([_TWELVE_BITS]):
        kind = "a JPEG of 12 bits"
    if kind:
        raise UnsupportedFormat(f"the content is {kind}, which cannot be decoded")
