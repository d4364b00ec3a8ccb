"""The pages in which commands read a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import ObjectId

from producer.documents.documents import open_documents

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
