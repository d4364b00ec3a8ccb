"""Properties that hold for every table and every way in which its bytes arrive, tested with generated input."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.operations.input.rows import UnreadableInput
from tests.support.generated import JSON
from tests.support.input_rows import Read, pairs, read, read_in_pieces

# No id begins as the forms with a type of their own, and none has white space at its ends.
IDS = st.text("aé0_\"',;| -", max_size=8).map("i{}d".format)
URLS = st.text("ab,;|=?", max_size=8).map("https://host/{}".format)
TEXTS = st.text("ab,;|\t\"'\n #", max_size=8)
ROWS = st.lists(st.tuples(IDS, URLS, TEXTS), min_size=1, max_size=4)


@settings(max_examples=60)
@given(ROWS, st.permutations([0, 1, 2]), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_the_csv_module_writes_is_read_again(
    rows: list[tuple[str, str, str]], order: list[int], delimiter: str, end: str, quote_all: bool
) -> None:
    file = io.StringIO()
    writer = csv.writer(
        file, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    )
    for row in (("id", "url", "text"), *rows):
        writer.writerow([row[column] for column in order])
    assert pairs(read(file.getvalue())) == [(image_id, url) for image_id, url, _ in rows]


@given(st.text("ab./?=;", max_size=8), st.text("ab0_-", min_size=1, max_size=8), st.sampled_from(",;|"))
def test_a_url_before_an_id_never_makes_a_job(path: str, image_id: str, delimiter: str) -> None:
    with pytest.raises(UnreadableInput, match="--columns"):
        read(f"https://host/{path}{delimiter}{image_id}\n")


@settings(max_examples=30)
@given(st.lists(st.tuples(IDS, URLS, JSON), min_size=1, max_size=4), st.sampled_from([None, 0, 2]), st.booleans())
def test_json_of_any_layout_gives_the_same_rows(
    rows: list[tuple[str, str, object]], indent: int | None, is_array: bool
) -> None:
    documents = [{"_id": image_id, "n": value, "url": url} for image_id, url, value in rows]
    separate = "\n".join(json.dumps(document, indent=indent) for document in documents)
    text = json.dumps(documents, indent=indent) if is_array else separate
    assert pairs(read(text)) == [(image_id, url) for image_id, url, _ in rows]


INPUTS = st.lists(
    st.sampled_from(
        [
            "id,url\n",
            "a,https://h/1\r\n",
            "https://h/é,1\n",
            '"',
            "\n",
            "[",
            "]",
            '{"id":"é","url":"https://h/1"}',
            "#x\n",
        ]
    ),
    max_size=8,
)


@given(INPUTS, st.lists(st.integers(1, 9), max_size=12))
def test_the_rows_do_not_depend_on_how_the_input_arrives(parts: list[str], sizes: list[int]) -> None:
    text = "".join(parts)
    assert _outcome(text, []) == _outcome(text, sizes)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    _outcome(content, [7])


def _outcome(content: str | bytes, sizes: list[int]) -> list[Read] | str:
    try:
        return read_in_pieces(content, sizes)
    except UnreadableInput as exc:
        return str(exc)
