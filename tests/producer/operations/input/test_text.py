"""The bytes of an input: encodings, files that are no text, and lines that are too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.operations.input import delimited, lines
from producer.operations.input.rows import UnreadableInput
from tests.support.input_rows import pairs, read, read_in_pieces

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "https://host/a.jpg"
TABLE = f"id,url\nphoto-1,{URL}\n"


@pytest.mark.parametrize("encode", [str.encode, lambda text: text.encode("utf-8-sig")], ids=["UTF-8", "with a mark"])
def test_utf_8_is_read_with_and_without_a_byte_order_mark(encode: Callable[[str], bytes]) -> None:
    assert pairs(read(encode(f"id,url\nfoto-ü😀,{URL}\n"))) == [("foto-ü😀", URL)]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (TABLE.encode("utf-16"), "UTF-16 text"),
        (TABLE.encode("utf-16-le"), "UTF-16 text"),
        (TABLE.encode("utf-16-be"), "UTF-16 text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a picture"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "a picture"),
        (b"PK\x03\x04\x14\0\x06\0", "spreadsheet"),
        (b"\x1f\x8b\x08\0", "compressed: decompress it first"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x5a\0\0\0\x07_id\0\x65\xf0", "no text: it contains null bytes"),  # as mongodump writes BSON
    ],
)
def test_what_is_no_utf_8_text_is_one_error(content: bytes, problem: str) -> None:
    for sizes in ((), (1, 1, 1)):
        with pytest.raises(UnreadableInput, match=problem):
            read_in_pieces(content * 100, sizes)


@pytest.mark.parametrize("content", ["", "\n", "# nothing today\n", "id,url\n", "\ufeff", "[]", "[\n]\n"])
def test_an_empty_input_has_no_rows(content: str) -> None:
    assert read(content) == []


def test_a_line_without_an_end_is_read() -> None:
    assert pairs(read(TABLE.rstrip())) == [("photo-1", URL)]


def test_of_a_line_that_is_too_long_a_bounded_part_is_kept_and_the_next_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_CHARS", 1000)
    monkeypatch.setattr(delimited, "MAX_LINE_CHARS", 1000)
    content = f"{TABLE}{'x' * 100_000},{URL}\nphoto-2,{URL}\n"
    rows = read_in_pieces(content, [500] * 200)
    assert rows[1:] == [("line 3", "it has more than 1,000 characters"), ("line 4", "photo-2", URL)]
    pieces = iter([b"x" * 500] * 200)
    text = lines.Lines(lambda: next(pieces, b""))
    assert 1000 < len(next(text)) <= 1500
