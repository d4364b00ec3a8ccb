"""One table of filters for both backends: the documents, and which of them each filter matches.

The expected ids follow MongoDB's documentation: comparisons only between values of one type, arrays by their elements,
`$ne` and `$nin` also for missing fields, and null equal to a missing field.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bson import Int64, ObjectId

Document = dict[str, Any]

FIELDS = ("album", "n", "tags", "public", "taken_at", "owner", "camera.model", "parts.kind")
OWNER = ObjectId("65a000000000000000000001")
OTHER_OWNER = ObjectId("65a000000000000000000002")
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
JUNE = datetime(2026, 6, 1, 12, 30, 15, 250_000, tzinfo=UTC)

DOCUMENTS: dict[str, Document] = {
    "a": {"album": "summer", "n": 1, "tags": ["red", "bike"], "public": True, "taken_at": MARCH, "owner": OWNER},
    "b": {"album": "summer", "n": 2.5, "tags": ["red"], "public": False, "taken_at": JUNE, "owner": OTHER_OWNER},
    "c": {"album": "winter", "n": Int64(3), "tags": [], "public": True, "camera": {"model": "X100"}},
    "d": {"album": None, "n": "3", "tags": "red", "camera": {"model": None}},
    "e": {"n": [1, 5], "taken_at": "2026-03-01", "camera": {"lens": "35mm"}, "parts": [{"kind": "x"}, {"kind": "y"}]},
    "f": {"album": "Sommer-Ärger 夏", "n": None, "public": 1, "camera": "none", "parts": [{"kind": "x"}, {}]},
    "g": {},
}
EVERY = "abcdefg"

CASES: dict[str, tuple[Document, str]] = {
    "no clause": ({}, EVERY),
    "equal text": ({"album": "summer"}, "ab"),
    "text in other scripts": ({"album": "Sommer-Ärger 夏"}, "f"),
    "text is compared with its case": ({"album": "Summer"}, ""),
    "$eq": ({"album": {"$eq": "winter"}}, "c"),
    "$eq of a number, whatever its type": ({"n": 3}, "c"),
    "$eq of a float": ({"n": {"$eq": 1.0}}, "ae"),
    "$eq in an array": ({"tags": "red"}, "abd"),
    "$eq true is no number": ({"public": True}, "ac"),
    "$eq 1 is no boolean": ({"public": 1}, "f"),
    "$eq null also matches missing fields": ({"album": None}, "deg"),
    "$eq null inside a document": ({"camera.model": None}, "abdefg"),
    "$eq inside a document": ({"camera.model": "X100"}, "c"),
    "$eq in an array of documents": ({"parts.kind": "y"}, "e"),
    "$eq null in an array of documents": ({"parts.kind": None}, "abcdfg"),
    "$ne": ({"album": {"$ne": "summer"}}, "cdefg"),
    "$ne in an array": ({"tags": {"$ne": "red"}}, "cefg"),
    "$ne null": ({"album": {"$ne": None}}, "abcf"),
    "$gt": ({"n": {"$gt": 2}}, "bce"),
    "$gte": ({"n": {"$gte": 2.5}}, "bce"),
    "$lt": ({"n": {"$lt": 2}}, "ae"),
    "$lte": ({"n": {"$lte": 1}}, "ae"),
    "a range matches an array whose elements match its bounds one by one": ({"n": {"$gt": 2, "$lt": 4}}, "bce"),
    "$gt of text": ({"album": {"$gt": "summer"}}, "c"),
    "$lt of text": ({"album": {"$lt": "summer"}}, "f"),
    "$gt of text matches no number": ({"n": {"$gt": "0"}}, "d"),
    "$gte of a date": ({"taken_at": {"$gte": {"$date": "2026-03-01T00:00:00Z"}}}, "ab"),
    "$gt of a date": ({"taken_at": {"$gt": {"$date": "2026-03-01T00:00:00Z"}}}, "b"),
    "$lte of a date in another time zone": ({"taken_at": {"$lte": {"$date": "2026-03-01T02:00:00+02:00"}}}, "a"),
    "$eq of a date with milliseconds": ({"taken_at": {"$date": "2026-06-01T12:30:15.250Z"}}, "b"),
    "$eq of a date in Python": ({"taken_at": JUNE}, "b"),
    "$eq of an ObjectId": ({"owner": {"$oid": str(OWNER)}}, "a"),
    "$eq of an ObjectId in Python": ({"owner": OTHER_OWNER}, "b"),
    "$ne of an ObjectId": ({"owner": {"$ne": {"$oid": str(OWNER)}}}, "bcdefg"),
    "$in": ({"album": {"$in": ["summer", "winter"]}}, "abc"),
    "$in of numbers": ({"n": {"$in": [2.5, 5]}}, "be"),
    "$in of ObjectIds": ({"owner": {"$in": [{"$oid": str(OWNER)}]}}, "a"),
    "$in with null": ({"album": {"$in": ["winter", None]}}, "cdeg"),
    "$in with only null": ({"album": {"$in": [None]}}, "deg"),
    "$nin": ({"album": {"$nin": ["summer", "winter"]}}, "defg"),
    "$nin with null": ({"album": {"$nin": ["summer", None]}}, "cf"),
    "$nin in an array": ({"tags": {"$nin": ["bike"]}}, "bcdefg"),
    "$exists": ({"album": {"$exists": True}}, "abcdf"),
    "$exists of an empty array": ({"tags": {"$exists": True}}, "abcd"),
    "$exists false": ({"album": {"$exists": False}}, "eg"),
    "$exists inside a document": ({"camera.model": {"$exists": True}}, "cd"),
    "$exists false in an array of documents": ({"parts.kind": {"$exists": False}}, "abcdg"),
    "$not": ({"n": {"$not": {"$gt": 2}}}, "adfg"),
    "$not of two operators": ({"n": {"$not": {"$gt": 0, "$lt": 2}}}, "bcdfg"),
    "$not of $exists": ({"album": {"$not": {"$exists": True}}}, "eg"),
    "$not of $in": ({"album": {"$not": {"$in": ["summer"]}}}, "cdefg"),
    "$and": ({"$and": [{"album": "summer"}, {"public": True}]}, "a"),
    "two fields": ({"album": "summer", "n": {"$gte": 2}}, "b"),
    "$or": ({"$or": [{"album": "winter"}, {"n": {"$lt": 2}}]}, "ace"),
    "$nor": ({"$nor": [{"album": "summer"}, {"tags": "red"}]}, "cefg"),
    "nested": ({"$or": [{"$and": [{"album": "summer"}, {"n": 1}]}, {"$nor": [{"n": {"$exists": True}}]}]}, "ag"),
}

# Cases in which the embedded MongoDB's `find` differs from MongoDB: it does not search arrays, compares values of two
# types, takes null for a missing field, and finds no ObjectIds.
NOT_BY_EMBEDDED = {
    "$eq of a float",
    "$eq in an array",
    "$eq true is no number",
    "$eq 1 is no boolean",
    "$eq in an array of documents",
    "$eq null in an array of documents",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$gt of text matches no number",
    "$gte of a date",
    "$lte of a date in another time zone",
    "$eq of an ObjectId",
    "$eq of an ObjectId in Python",
    "$exists",
    "$exists false",
    "$exists inside a document",
    "$exists false in an array of documents",
}
# mongomock, which evaluates the filters of the stand-in for vector search, says of one document that the field exists
# and is missing.
BY_STAND_IN = {"$exists false in an array of documents": "abcdfg"}

REFUSED: dict[str, tuple[Any, str]] = {
    "not an object": (["album"], "filter"),
    "$where": ({"$where": "sleep(1000)"}, "filter.$where"),
    "$expr": ({"$expr": {"$eq": ["$secret", "x"]}}, "filter.$expr"),
    "$expr further down": ({"$or": [{"n": 1}, {"$expr": True}]}, "filter.$or[1].$expr"),
    "$regex": ({"album": {"$regex": "^(a+)+$"}}, "filter.album.$regex"),
    "$elemMatch": ({"tags": {"$elemMatch": {"$eq": "red"}}}, "filter.tags.$elemMatch"),
    "$type": ({"n": {"$type": "int"}}, "filter.n.$type"),
    "$not at the top": ({"$not": {"album": "summer"}}, "filter.$not"),
    "a field that is not declared": ({"password": "x"}, "filter.password"),
    "a part of a declared field": ({"camera": {"$exists": True}}, "filter.camera"),
    "the vector": ({"embedding": {"$exists": True}}, "filter.embedding"),
    "$and without a list": ({"$and": {"album": "summer"}}, "filter.$and"),
    "$or of nothing": ({"$or": []}, "filter.$or"),
    "$in without a list": ({"album": {"$in": "summer"}}, "filter.album.$in"),
    "$in of nothing": ({"album": {"$in": []}}, "filter.album.$in"),
    "$in of two types": ({"n": {"$in": [1, "1"]}}, "filter.n.$in"),
    "$in of many values": ({"n": {"$in": list(range(257))}}, "filter.n.$in"),
    "$exists of a number": ({"album": {"$exists": 1}}, "filter.album.$exists"),
    "$gt of a boolean": ({"public": {"$gt": False}}, "filter.public.$gt"),
    "$gt of null": ({"n": {"$gt": None}}, "filter.n.$gt"),
    "$not of a value": ({"n": {"$not": 5}}, "filter.n.$not"),
    "$not of nothing": ({"n": {"$not": {}}}, "filter.n.$not"),
    "an array as a value": ({"tags": ["red"]}, "filter.tags"),
    "an object as a value": ({"camera.model": {}}, "filter.camera.model"),
    "an object in a list": ({"album": {"$in": [{"x": 1}]}}, "filter.album.$in[0]"),
    "NaN": ({"n": float("nan")}, "filter.n"),
    "infinity": ({"n": {"$lt": float("inf")}}, "filter.n.$lt"),
    "more than 64 bits": ({"n": 2**63}, "filter.n"),
    "a long text": ({"album": "x" * 1025}, "filter.album"),
    "a lone surrogate": ({"album": "\ud800"}, "filter.album"),
    "no date": ({"taken_at": {"$date": "yesterday"}}, "filter.taken_at"),
    "a date of another kind": ({"taken_at": {"$date": {"$numberLong": "1"}}}, "filter.taken_at"),
    "a date after the year 9999": ({"taken_at": {"$date": 10**15}}, "filter.taken_at"),
    "no ObjectId": ({"owner": {"$oid": "xyz"}}, "filter.owner"),
    "bytes": ({"album": b"summer"}, "filter.album"),
    "five levels": ({"$or": [{"$or": [{"$or": [{"$or": [{"n": 1}]}]}]}]}, "filter.$or[0].$or[0].$or[0].$or[0]"),
    "33 comparisons": ({"$or": [{"n": number} for number in range(33)]}, "filter"),
    "65 empty filters": ({"$or": [{}] * 64}, "filter"),
    "a name that is no text": ({1: 2}, "filter.1"),
}
