"""JSON: lines, arrays and objects over several lines, as mongoexport writes them; ids keep their type."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from producer.contract.ids import ImageId, ObjectIdRef
from producer.contract.job import id_of_url
from producer.operations.input import json_objects, json_rows
from producer.operations.input.rows import UnreadableInput
from tests.support.input_rows import pairs, read

URL = "https://host/a.jpg"
HEX = "65f0c0ffee65f0c0ffee65f0"
DOCUMENTS: list[dict[str, Any]] = [
    {"_id": {"$oid": HEX}, "url": URL},
    {"_id": 'brace } quote " \\', "title": "[{", "url": URL, "size": {"w": [1, 2]}},
    {"_id": 7, "url": URL},
]
FORMS = {
    "lines": "\n".join(map(json.dumps, DOCUMENTS)),
    "jsonArray": json.dumps(DOCUMENTS, separators=(",", ":")) + "\n",
    "jsonArray pretty": json.dumps(DOCUMENTS, indent="\t"),
    "pretty": "\n".join(json.dumps(document, indent="\t") for document in DOCUMENTS),
    "objects and commas": ",\n".join(map(json.dumps, DOCUMENTS)),
    "array of lines": "[" + ",\r\n".join(map(json.dumps, DOCUMENTS)) + "]",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_each_form_that_mongoexport_writes_gives_the_same_rows(text: str) -> None:
    assert pairs(read(text)) == [(ObjectIdRef(HEX), URL), ('brace } quote " \\', URL), (7, URL)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"photo-1"', "photo-1"),
        (f'"{HEX}"', HEX),
        ("5", 5),
        ("9007199254740993", 2**53 + 1),
        ("5.0", 5),
        ('{"$numberInt":"5"}', 5),
        ('{"$numberLong":"9007199254740993"}', 2**53 + 1),
        ('{"$numberDouble":"5.0"}', 5),
        ('{"$uuid":"3b241101-e2bb-4255-8caf-4136c566a962"}', uuid.UUID("3b241101-e2bb-4255-8caf-4136c566a962")),
        (
            '{"$binary":{"base64":"OyQRAeK7QlWMr0E2xWapYg==","subType":"04"}}',
            uuid.UUID("3b241101-e2bb-4255-8caf-4136c566a962"),
        ),
    ],
)
def test_ids_of_relaxed_and_canonical_extended_json_keep_their_type(value: str, expected: ImageId) -> None:
    assert pairs(read(f'{{"_id":{value},"url":"{URL}"}}\n')) == [(expected, URL)]


def test_the_type_of_ids_is_that_of_the_texts_only() -> None:
    text = f'{{"_id":"5","url":"{URL}"}}\n{{"_id":{{"$oid":"{HEX}"}},"url":"{URL}"}}\n'
    assert pairs(read(text, id_type="integer")) == [(5, URL), (ObjectIdRef(HEX), URL)]


def test_fields_are_found_by_name_or_given_as_paths() -> None:
    assert pairs(read(f'{{"image_id":"a","photoUrl":"{URL}","n":1}}')) == [("a", URL)]
    assert pairs(read(f'{{"sku":"a","media":{{"urls":["x","{URL}"]}}}}', columns="id=sku,url=media.urls.1")) == [
        ("a", URL)
    ]
    assert pairs(read(f'{{"id":"a","a.b":"{URL}"}}', columns="id=id,url=a.b")) == [("a", URL)]
    assert pairs(read(f'{{"id":"a","url":"{URL}"}}', columns="id,url")) == [("a", URL)]
    assert pairs(read(f'{{"url":"{URL}"}}')) == [(id_of_url(URL), URL)]
    assert pairs(read(f'{{"sku":"a","url":"{URL}"}}', columns="url=url")) == [(id_of_url(URL), URL)]


BAD = [
    ("{broken", "no JSON object, or not all of it"),
    (f'{{"_id":"a","url":"{URL}"', "no JSON object, or not all of it"),
    ('"https://host/a.jpg"', "it is JSON, but no object"),
    ("https://host/a.jpg", "no JSON object"),
    ('{"_id":"a"}', "no field is the URL"),
    (f'{{"sku":"a","url":"{URL}"}}', "no field is the id"),
    (f'{{"_id":"a","url":"{URL}","imageUrl":"{URL}"}}', "url and imageUrl may both be the URL"),
    (f'{{"_id":null,"url":"{URL}"}}', "it has no field _id"),
    ('{"_id":"a","url":null}', "it has no field url"),
    ('{"_id":"a","url":7}', "url must be a string, not int"),
    (f'{{"_id":7.5,"url":"{URL}"}}', "image_id must be"),
    (f'{{"_id":true,"url":"{URL}"}}', "image_id must be"),
    (f'{{"_id":{{"$date":"2024-01-01T00:00:00Z"}},"url":"{URL}"}}', "image_id must be"),
    (f'{{"_id":{"9" * 5000},"url":"{URL}"}}', "no JSON object"),
    (f'{{"_id":{"[" * 100_000},"url":"{URL}"}}', "no JSON object"),
]


@pytest.mark.parametrize(("line", "problem"), BAD, ids=range(len(BAD)))
def test_a_bad_line_says_what_is_wrong_and_the_lines_around_it_are_read(line: str, problem: str) -> None:
    good = f'{{"_id":"a","url":"{URL}"}}'
    first, bad, last = read(f"{good}\n{line}\n\n{good}\n")
    assert (first[1:], last) == (("a", URL), ("line 4", "a", URL))
    assert bad[0] == "line 2"
    assert problem in str(bad[1])


def test_an_object_of_an_array_is_named_by_its_number_and_line() -> None:
    rows = read(f'[{{"_id":"a","url":"{URL}"}},{{"_id":"b"}},\n{{"_id":"c","url":"{URL}"}}, {{"_id" 5}}]')
    assert [row[0] for row in rows] == [
        "object 1 (line 1)",
        "object 2 (line 1)",
        "object 3 (line 2)",
        "object 4 (line 2)",
    ]
    assert [len(row) for row in rows] == [3, 2, 3, 2]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f'[{{"_id":"a","url":"{URL}"}},{{"_id":"b","url":"htt', r"ends inside object 2 \(line 1\)"),
        (f'[{{"_id":"a","url":"{URL}"}},', "ends inside an array"),
        ('{\n  "_id": "a",\n', r"ends inside object 1 \(line 1\)"),
        ('["https://host/a.jpg"]', "cannot be read at its begin"),
        (f'[{{"_id":"a","url":"{URL}"}}, 7]', r"cannot be read after object 1 \(line 1\)"),
        (f'[{{"_id":"a","url":"{URL}"}}}}]', r"cannot be read after object 1"),
    ],
)
def test_an_array_that_is_cut_off_or_holds_something_else_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(UnreadableInput, match=problem):
        read(text)


def test_an_object_of_many_lines_takes_time_that_grows_with_its_length() -> None:
    """If it grew with the square, these would take minutes."""
    numbers = "1,\n" * 200_000
    (row,) = read(f'[{{"x": [\n{numbers}1], "_id": "a", "url": "{URL}"}}]')
    assert row == ("object 1 (line 1)", "a", URL)


def test_a_giant_object_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_objects, "MAX_LINE_CHARS", 1000)
    monkeypatch.setattr(json_rows, "MAX_LINE_CHARS", 1000)
    giant = json.dumps({"_id": "a", "url": URL, "text": "x" * 1000})
    assert read(giant) == [("line 1", "it has more than 1,000 characters")]
    with pytest.raises(UnreadableInput, match=r"object 1 \(line 1\) has more than 1,000 characters"):
        read(f"[{giant}]")
