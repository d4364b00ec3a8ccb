"""Tells what an input is that is no UTF-8 text, from its first bytes."""

from __future__ import annotations

from producer.operations.input.rows import UnreadableInput

_ZIP = "a zip archive, such as a spreadsheet (xlsx, ods): save it as CSV"
_PICTURE = "a picture: give a file with the URLs of pictures"
_COMPRESSED = "compressed: decompress it first"
_KINDS = {
    b"\x89PNG": _PICTURE,
    b"\xff\xd8\xff": _PICTURE,
    b"GIF8": _PICTURE,
    b"RIFF": _PICTURE,
    b"PK\x03\x04": _ZIP,
    b"PK\x05\x06": _ZIP,
    b"\xd0\xcf\x11\xe0": "an old spreadsheet or document (xls): save it as CSV",
    b"\x1f\x8b": _COMPRESSED,
    b"BZh": _COMPRESSED,
    b"\xfd7zXZ": _COMPRESSED,
    b"\x28\xb5\x2f\xfd": _COMPRESSED,
    b"%PDF-": "a PDF: export its table as CSV",
    b"PAR1": "a Parquet file: convert it to CSV or JSON lines",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"\x93NUMPY": "a NumPy array: convert it to CSV or JSON lines",
}
_UTF16 = "UTF-16 text, not UTF-8: convert it, such as with iconv -f UTF-16 -t UTF-8"
_ANOTHER = "no text: it contains null bytes. Give lines of URLs, CSV or JSON in UTF-8"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# A line of text that long contains no null byte, and one of UTF-16 contains many.
_LOOKED_AT = 1024
# Enough to recognize all kinds.
START_BYTES = 16


def refuse_binary(start: bytes) -> None:
    """Check that an input is UTF-8 text.

    Args:
        start: Its first bytes: the first line, START_BYTES, or everything.

    Raises:
        UnreadableInput: It is something else.
    """
    for magic, kind in _KINDS.items():
        if start.startswith(magic):
            raise UnreadableInput(f"the input is {kind}")
    line = start[:_LOOKED_AT].partition(b"\n")[0]
    if start.startswith(_UTF16_MARKS) or {0} in (set(line[::2]), set(line[1::2])):
        raise UnreadableInput(f"the input is {_UTF16}")
    if b"\0" in line:
        raise UnreadableInput(f"the input is {_ANOTHER}")
