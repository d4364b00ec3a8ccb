"""The pages in which commands read a collection."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
from bson import Binary, Code, Int64, MaxKey, MinKey, ObjectId, Timestamp

from producer.contract.mongodb import client_options
from producer.documents.brackets import brackets_after
from producer.documents.documents import ImageDocuments, open_documents
from tests.support.mongo_commands import recorded_commands

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from producer.local.stack import Stack


def test_pages_contain_every_id_once(stack: Stack, collection: Collection[dict[str, Any]], new_id: str) -> None:
    """The collection has strings and ObjectIds as ids, and MongoDB's $gt compares only values of one type."""
    ids: list[Any] = [f"{new_id}-{number}" for number in range(600)] + [ObjectId() for _ in range(600)]
    collection.database["paged"].insert_many([{"_id": document_id, "of": new_id} for document_id in ids])
    with open_documents(stack.mongodb_uri, "paged") as documents:
        pages = list(documents.pages({"of": new_id}, {"_id": 1}))
        seen = [document["_id"] for page in pages for document in page]
        assert [len(page) for page in pages] == [500, 100, 500, 100]
        assert sorted(map(str, seen)) == sorted(map(str, ids))
        for place in (250, 599, 850, 1199):
            pages_after = documents.pages({"of": new_id}, {"_id": 1}, seen[place])
            assert [document["_id"] for page in pages_after for document in page] == seen[place + 1 :]


def bounds_of(commands: list[dict[str, Any]]) -> list[Any]:
    """Return the condition on `_id` of each request; None if there is none."""
    return [next((part["_id"] for part in one["filter"].get("$and", []) if "_id" in part), None) for one in commands]


def test_a_few_documents_are_one_request(stack: Stack, collection: Collection[dict[str, Any]], new_id: str) -> None:
    """Whatever the types of their ids. They come in the order in which a later run continues after each of them."""
    ids: list[Any] = [ObjectId(), f"{new_id}-b", 7, f"{new_id}-a", ObjectId()]
    collection.database["paged"].insert_many([{"_id": document_id, "of": new_id} for document_id in ids])
    with recorded_commands() as commands, open_documents(stack.mongodb_uri, "paged") as documents:
        pages = list(documents.pages({"of": new_id}, {"_id": 1}))
        assert list(documents.pages({"of": f"{new_id}-none"}, {"_id": 1})) == []
    assert [[one["_id"] for one in page] for page in pages] == [[ids[3], ids[1], ids[0], ids[4], 7]]
    assert bounds_of([one for one in commands if "find" in one]) == [None, None]


def test_the_first_strings_are_read_without_a_range(
    stack: Stack, collection: Collection[dict[str, Any]], new_id: str
) -> None:
    """So the embedded server has the first jobs quickly: for a range of ids, it reads the whole collection."""
    ids: list[Any] = [f"{new_id}-{number:03}" for number in range(501)]
    collection.database["paged"].insert_many([{"_id": document_id, "of": new_id} for document_id in ids])
    with recorded_commands() as commands, open_documents(stack.mongodb_uri, "paged") as documents:
        pages = documents.pages({"of": new_id}, {"_id": 1})
        assert [one["_id"] for one in next(pages)] == ids[:500]
        assert bounds_of([one for one in commands if "find" in one]) == [None]
        assert [[one["_id"] for one in page] for page in pages] == [ids[500:]]
    assert bounds_of([one for one in commands if "find" in one])[1] == {"$gt": ids[499]}


# MongoDB's types, each with ids in its order. The embedded server can hold those of the first five.
TYPES: dict[str, list[Any]] = {
    "string": ["", "5", "a"],
    "objectId": [ObjectId("0" * 24), ObjectId("1" * 24)],
    "number": [-(2**63), -5, 7, 7.5, 2**53, Int64(2**53 + 1), 1e300],
    "binData": [b"ab", b"abc", uuid.UUID(int=1), uuid.UUID(int=2)],
    "date": [datetime(1960, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)],
    "null": [None],
    "bool": [False, True],
    "object": [{"shop": 1}, {"shop": 2}],
    "timestamp": [Timestamp(1, 1), Timestamp(1, 2)],
    "javascript": [Code("a"), Code("b")],
    "minKey": [MinKey()],
    "maxKey": [MaxKey()],
}
IDS = [(name, document_id) for name, ids in TYPES.items() for document_id in ids]


def test_documents_with_an_id_that_no_job_can_have_are_read_too(
    collection: Collection[dict[str, Any]], stack: Stack
) -> None:
    """So that a command reports them, and does not leave them out."""
    ids = [document_id for name in list(TYPES)[:5] for document_id in TYPES[name]]
    with pymongo.MongoClient[dict[str, Any]](stack.mongodb_uri, **client_options(stack.mongodb_uri, "test")) as mongo:
        mixed = mongo[collection.database.name]["mixed"]
        # For the embedded server 5 and "5" are one id, and it gives a UUID back as bytes.
        mixed.insert_many([{"_id": document_id, "type": type(document_id).__name__} for document_id in ids])
        read = [one for page in ImageDocuments(mixed).pages({}, {"type": 1}) for one in page]
    assert sorted(one["type"] for one in read) == sorted(type(document_id).__name__ for document_id in ids)
    assert len({repr(one["_id"]) for one in read}) == len(ids)


@pytest.mark.parametrize("after", IDS, ids=repr)
def test_the_ids_after_any_other_are_read_once(after: tuple[str, Any]) -> None:
    """One at a time, by MongoDB's documented rules, of which the embedded server has only some."""
    everything = read_after(None)
    assert sorted(map(repr, everything)) == sorted(repr(document_id) for _, document_id in IDS)
    place = list(map(repr, everything)).index(repr(after[1]))
    # Nothing is before the only id that is null, so None stands for no id too.
    rest = everything if after[1] is None else everything[place + 1 :]
    assert list(map(repr, read_after(after[1]))) == list(map(repr, rest))


def read_after(document_id: Any) -> list[Any]:
    read = []
    for bracket, first in brackets_after(document_id):
        condition = first
        while found := [one for name, one in IDS if all(holds(*part, name, one) for part in condition.items())]:
            read.append(found[0])
            condition = bracket.after(found[0])
    return read


def holds(operator: str, operand: Any, name: str, document_id: Any) -> bool:
    """Return whether MongoDB finds an `_id` of a type by this operator."""
    if operator in {"$type", "$eq"}:
        return name == (operand or "null")
    if isinstance(operand, MinKey | MaxKey):  # only these are compared with the values of all types
        return isinstance(operand, MinKey) and name != "minKey"
    if name != type_of(operand):
        return False
    place, bound = TYPES[name].index(document_id), TYPES[name].index(operand) if operand in TYPES[name] else -1
    return place > bound or (operator == "$gte" and place == bound)


def type_of(operand: Any) -> str:
    kind = bytes if isinstance(operand, Binary) else type(operand)
    return next(name for name, one in IDS if type(one) is kind)
