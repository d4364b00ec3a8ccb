"""Texts for the terminal: inert, with a known width, and numbers that fit their columns."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from producer.top.lines import flow
from producer.top.tables import Cursor
from producer.top.terminal import is_ascii_only
from producer.top.text import Letters, fit, fit_ends, number, size, span, sparkline, wrap

CHINESE = "猫" * 9


@pytest.mark.parametrize("width", range(12))
@pytest.mark.parametrize("text", ["", "abc", "abcdefghijklmnop", CHINESE, "ab" + CHINESE])
def test_a_fitted_text_has_exactly_its_width(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == cell_len(fit(text, width, ">")) == cell_len(fit_ends(text, width)) == width


def test_a_cut_text_says_so() -> None:
    assert (fit("abcdef", 4), fit_ends("abcdefghij", 5), fit("abc", 5, ">")) == ("abc…", "ab…ij", "  abc")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cafe\u0301", "café"),  # a decomposed letter, as macOS writes it
        ("a\u0301\u0302", "á\N{REPLACEMENT CHARACTER}"),
        ("\x1b[31m[red]", "\N{REPLACEMENT CHARACTER}[31m[red]"),
        ("x" * 1000, "x" * 500 + "..."),
    ],
)
def test_texts_of_others_become_inert(text: str, shown: str) -> None:
    assert Letters().inert(text) == shown
    assert Letters(ascii_only=True).inert(text).isascii()


@pytest.mark.parametrize("width", [5, 10, 33])
def test_a_wrapped_text_loses_no_letter(width: int) -> None:
    text = f"https://host/{'x' * 40} answered 404 {CHINESE} and more words"
    lines = wrap(text, width)
    assert max(map(cell_len, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_no_chunk_of_a_flow_is_broken() -> None:
    lines = flow("Queue", [("waiting 1   ", "bold"), ("in flight 22", ""), ("parked 0  ", "")], 32)
    assert [line.text for line in lines] == ["Queue    waiting 1", "         in flight 22  parked 0"]


def test_numbers_fit_their_columns() -> None:
    assert [number(value) for value in (0, 0.004, 0.42, 4.21, 42, 999.96, 1042.6)] == [
        *("0", "0.00", "0.42", "4.2", "42.0", "1000.0", "1,043"),
    ]
    assert [size(value) for value in (0, 999, 1000, 1 << 20, 980 << 20, 3 << 29, 1e18)] == [
        *("0", "999", "1.0K", "1.0M", "980M", "1.5G", "909495T"),
    ]
    assert [span(value) for value in (0.0004, 0.25, 4.21, 42, 180, 7200 * 3)] == [
        *("0 ms", "250 ms", "4.2 s", "42 s", "3 min", "6 h"),
    ]


def test_bars_are_as_high_as_their_values() -> None:
    assert sparkline([0, 1, 2, 4, 8], 4) == "▂▃▅█"
    assert sparkline([0, 0], 4) == "▁▁"
    assert Letters(ascii_only=True).own(sparkline([0, 8], 4)) == "_#"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, True),
        ({"LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),  # Python has set the second
        ({"LANG": "en_US.UTF-8", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({"LC_CTYPE": "UTF-8"}, False),  # as macOS sets it
        ({"LANG": "en_US.utf8"}, False),
    ],
)
def test_the_locale_says_whether_there_is_more_than_ascii(environment: dict[str, str], *, expected: bool) -> None:
    assert is_ascii_only(environment) == expected


def test_a_cursor_follows_its_line_once_it_was_moved() -> None:
    cursor = Cursor()
    cursor.window(2, ["a", "b", "c"])
    assert (cursor.window(2, ["new", "a", "b"]), cursor.index) == (range(2), 0)
    cursor.move(2, ["new", "a", "b"])
    assert (cursor.window(2, ["b", "new", "a"]), cursor.index) == (range(2), 0)
    assert (cursor.window(2, ["x", "y"]), cursor.index) == (range(2), 0)  # its line has gone
    assert (cursor.window(0, []), cursor.index) == (range(0), 0)
