"""Which ids an image may have, and how JSON, MongoDB and a command line spell them."""

from __future__ import annotations

import json
import uuid
from typing import Any
from uuid import UUID

import bson
import pytest
from bson import Binary, CodecOptions, Int64, ObjectId, json_util
from bson.binary import UuidRepresentation
from pymongo import MongoClient

from producer.contract.errors import InvalidJob
from producer.contract.ids import ID_TYPES, ObjectIdRef, image_id_of_text, parse_image_id, wire_id
from producer.contract.job import ImageJob
from producer.contract.mongodb import client_options
from producer.contract.records import bson_id, possible_ids

OID = "65f0c0ffee65f0c0ffee65f0"
TEXT = "123e4567-e89b-12d3-a456-426614174000"
LARGEST, SMALLEST = 2**63 - 1, -(2**63)
STANDARD = CodecOptions[dict[str, Any]](uuid_representation=UuidRepresentation.STANDARD)


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        ("photo-1", "photo-1"),
        ("ü" * 1024, "ü" * 1024),
        ("5", "5"),
        (OID, OID),
        (TEXT, TEXT),
        (ObjectId(OID), {"$oid": OID}),
        (ObjectIdRef(OID.upper()), {"$oid": OID}),
        ({"$oid": OID.upper()}, {"$oid": OID}),
        (5, {"$numberLong": "5"}),
        (0, {"$numberLong": "0"}),
        (-0.0, {"$numberLong": "0"}),
        (5.0, {"$numberLong": "5"}),
        (float(2**53 - 1), {"$numberLong": "9007199254740991"}),
        (2**53 + 1, {"$numberLong": "9007199254740993"}),
        (Int64(LARGEST), {"$numberLong": "9223372036854775807"}),
        ({"$numberLong": str(SMALLEST)}, {"$numberLong": "-9223372036854775808"}),
        ({"$numberInt": "-5"}, {"$numberLong": "-5"}),
        (UUID(TEXT), {"$uuid": TEXT}),
        ({"$uuid": TEXT.upper()}, {"$uuid": TEXT}),
        (Binary(UUID(TEXT).bytes, 4), {"$uuid": TEXT}),
        ({"$binary": {"base64": "Ej5FZ+ibEtOkVkJmFBdAAA==", "subType": "04"}}, {"$uuid": TEXT}),
    ],
    ids=repr,
)
def test_an_id_keeps_its_type_and_its_digits_in_the_message(given: object, wire: object) -> None:
    """A string that looks like another type stays a string: only the caller knows the type of the document's `_id`."""
    job = ImageJob.new(given, "https://host/a.jpg")
    kwargs = json.loads(json.dumps(job.to_kwargs()))
    assert kwargs["image_id"] == wire
    assert ImageJob.from_kwargs(kwargs) == job
    assert parse_image_id(bson_id(job.image_id)) == job.image_id


NOT_CANONICAL = ("", "05", "+5", "-0", " 5", "5\n", "5.0", "0x5", "\N{ARABIC-INDIC DIGIT FIVE}", "1_0")
OF_ANOTHER_TYPE: list[object] = [None, 1.5, float("nan"), float("inf"), True, False, [], {}, b"photo-1", {"$gt": ""}]
OF_ANOTHER_TYPE += [{"$oid": 7}, {"$oid": OID, "x": 1}, {"$numberDouble": "5"}, {"$numberLong": 5}, {"$uuid": None}]
NOT_AN_ID = "must be a string, an integer"
NO_INTEGER = "within 64 bits"
ROUNDED = "may be rounded"
NO_UUID = "a UUID has"


@pytest.mark.parametrize(
    ("image_id", "message"),
    [
        ("", "is empty"),
        ("x" * 1025, "1025 characters"),
        ("a\0b", "null"),
        ("a\nb", "control"),
        ("\x1b[31m", "control"),
        ("\ud800", "surrogate"),
        *((value, NOT_AN_ID) for value in OF_ANOTHER_TYPE),
        *(({"$numberLong": value}, NO_INTEGER) for value in NOT_CANONICAL),
        *(({"$numberLong": str(value)}, NO_INTEGER) for value in (LARGEST + 1, SMALLEST - 1, 10**30)),
        *((value, NO_INTEGER) for value in (LARGEST + 1, SMALLEST - 1, 10**30)),
        *((value, ROUNDED) for value in (float(2**53), -1e300)),
        *(({"$uuid": value}, NO_UUID) for value in ("", TEXT.replace("-", ""), f"{{{TEXT}}}", TEXT + "\n", TEXT[:-1])),
        *((Binary(UUID(TEXT).bytes, subtype), NOT_AN_ID) for subtype in (0, 3)),
        (Binary(b"short", 4), NOT_AN_ID),
        ({"$binary": {"base64": "Ej5FZ+ibEtOkVkJmFBdAAA==", "subType": "03"}}, NOT_AN_ID),
        ({"$binary": {"base64": "Ej5FZ", "subType": "04"}}, NOT_AN_ID),
        ({"$binary": "Ej5FZ+ibEtOkVkJmFBdAAA=="}, NOT_AN_ID),
        ({"$oid": "xyz"}, "24 hex digits"),
        (ObjectIdRef("xyz"), "24 hex digits"),
    ],
    ids=repr,
)
def test_an_invalid_id_is_refused(image_id: object, message: str) -> None:
    with pytest.raises(InvalidJob, match=message):
        parse_image_id(image_id)


@pytest.mark.parametrize("image_id", [True, 7.0, LARGEST + 1, ObjectIdRef("xyz"), ""])
def test_a_job_cannot_be_made_with_an_invalid_id(image_id: Any) -> None:
    with pytest.raises(InvalidJob):
        ImageJob(image_id, "https://host/a.jpg", 0)


def test_mongodbs_own_extended_json_is_read() -> None:
    """What the package bson writes for each type, in the form that mongoexport uses too."""
    options = json_util.CANONICAL_JSON_OPTIONS.with_options(uuid_representation=UuidRepresentation.STANDARD)
    for stored in ("photo-1", 5, Int64(2**53 + 1), ObjectId(OID), UUID(TEXT)):
        assert bson_id(parse_image_id(json.loads(json_util.dumps(stored, json_options=options)))) == stored


def test_a_text_is_read_as_the_type_that_is_named() -> None:
    texts = ("5", OID.upper(), "5", TEXT.upper())
    ids = [image_id_of_text(text, id_type) for text, id_type in zip(texts, ID_TYPES, strict=True)]
    assert ids == ["5", ObjectIdRef(OID), 5, UUID(TEXT)]
    for text, id_type in zip(("", "5", OID, OID), ID_TYPES, strict=True):
        with pytest.raises(InvalidJob):
            image_id_of_text(text, id_type)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("photo-1", ["photo-1"]),
        (OID.upper(), [ObjectId(OID), OID.upper()]),
        ("5", [5, "5"]),
        ("-17", [-17, "-17"]),
        (str(LARGEST + 1), [str(LARGEST + 1)]),
        ("05", ["05"]),
        ("5.0", ["5.0"]),
        ("123456789012345678901234", [ObjectId("123456789012345678901234"), "123456789012345678901234"]),
        (TEXT.upper(), [UUID(TEXT), TEXT.upper()]),
        ("", []),
    ],
)
def test_a_text_may_stand_for_several_ids(text: str, ids: list[object]) -> None:
    found = possible_ids(text)
    assert [(type(one), one) for one in found] == [(type(one), one) for one in ids]


def test_jobs_of_two_ids_with_one_text_do_not_share_a_time() -> None:
    """Each id has its own order of jobs, so the clock must not move one on for the other."""
    for _ in range(3):
        times = [ImageJob.new(image_id, "http://host/").enqueued_at_ms for image_id in (5, "5", 5, "5")]
        assert times[2] > times[0]
        assert times[3] > times[1]


def test_flower_and_logs_show_an_integer_as_a_number() -> None:
    assert f'"image_id":{2**53 + 1},' in ImageJob.new(2**53 + 1, "http://host/").describe()
    assert f'"image_id":{{"$uuid":"{TEXT}"}}' in ImageJob.new(UUID(TEXT), "http://host/").describe()


@pytest.mark.parametrize("named", ["", "?uuidRepresentation=javaLegacy", "?uuidRepresentation=unspecified"])
def test_every_client_reads_and_writes_a_uuid_as_subtype_4(named: str) -> None:
    uri = f"mongodb://127.0.0.1/shop{named}"
    with MongoClient[dict[str, Any]](uri, connect=False, **client_options(uri, "test")) as client:
        codec = client.codec_options
    one = uuid.uuid4()
    raw = bson.encode({"_id": one}, codec_options=codec)
    assert bson.decode(raw, STANDARD) == {"_id": one}
    assert bson.decode(raw)["_id"].subtype == 4
    assert bson.decode(raw, codec_options=codec) == {"_id": one}


def test_what_wire_id_writes_is_read_again() -> None:
    for image_id in ("photo-1", "5", 5, LARGEST, UUID(TEXT), ObjectIdRef(OID)):
        assert parse_image_id(wire_id(image_id)) == image_id
