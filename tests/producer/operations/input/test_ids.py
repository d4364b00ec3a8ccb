"""The types of ids: as mongoexport and the shell write them, and as `--id-type` says."""

from __future__ import annotations

import uuid

import pytest

from producer.contract.ids import ID_TYPES, ImageId, ObjectIdRef
from producer.contract.job import id_of_url
from tests.support.input_rows import pairs, read

URL = "https://host/a.jpg"
HEX = "65f0c0ffee65f0c0ffee65f0"
UUID = uuid.UUID("3b241101-e2bb-4255-8caf-4136c566a962")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"ObjectId({HEX})", ObjectIdRef(HEX)),
        (f'"ObjectId(""{HEX}"")"', ObjectIdRef(HEX)),
        (f"ObjectId('{HEX.upper()}')", ObjectIdRef(HEX)),
        (f'"UUID(""{UUID}"")"', UUID),
        ("NumberLong(9007199254740993)", 2**53 + 1),
        (f'"{{""$oid"": ""{HEX}""}}"', ObjectIdRef(HEX)),
        (HEX, HEX),
        ("5", "5"),
        (str(UUID), str(UUID)),
    ],
)
def test_a_text_is_a_string_unless_it_names_its_type(text: str, expected: ImageId) -> None:
    assert pairs(read(f"id,url\n{text},{URL}\n")) == [(expected, URL)]


@pytest.mark.parametrize(
    ("id_type", "text", "expected"),
    [
        ("string", HEX, HEX),
        ("string", f"ObjectId({HEX})", f"ObjectId({HEX})"),
        ("object-id", HEX, ObjectIdRef(HEX)),
        ("object-id", f"ObjectId({HEX})", ObjectIdRef(HEX)),
        ("integer", "-5", -5),
        ("uuid", str(UUID), UUID),
        ("uuid", UUID.hex.upper(), UUID),  # as mongoexport writes it in CSV
    ],
)
def test_the_type_of_texts_may_be_given(id_type: str, text: str, expected: ImageId) -> None:
    assert pairs(read(f"{text},{URL}\n", id_type=id_type)) == [(expected, URL)]


@pytest.mark.parametrize(
    ("id_type", "text", "problem"),
    [
        ("object-id", "photo-1", "an ObjectId has exactly 24 hex digits"),
        ("integer", "5.0", "a whole number"),
        ("integer", "007", "a whole number"),
        ("uuid", HEX, "a UUID has 32 hex digits"),
        ("uuid", f"ObjectId({HEX})", "the id is an ObjectId, and the type of the ids is uuid"),
        (None, "ObjectId(photo-1)", "an ObjectId has exactly 24 hex digits"),
        (None, '"{""$date"": 5}"', "image_id must be"),
        (None, '"{""$oid"', "cannot be read as JSON"),
        ("integer", "", "image_id is empty"),
    ],
)
def test_a_text_that_is_no_id_of_the_type_is_refused(id_type: str | None, text: str, problem: str) -> None:
    (row,) = read(f"id,url\n{text},{URL}\n", id_type=id_type)
    assert (len(row), problem in str(row[1])) == (2, True)


@pytest.mark.parametrize("id_type", [*ID_TYPES, None])
def test_an_id_from_a_url_is_a_string_and_a_row_without_an_id_is_refused_if_the_type_is_another(
    id_type: str | None,
) -> None:
    (row,) = read(f"{URL}\n", id_type=id_type)
    if id_type in {None, "string"}:
        assert row[1:] == (id_of_url(URL), URL)
    else:
        assert row[1:] == (f"the row has no id, and the type of the ids is {id_type}",)
