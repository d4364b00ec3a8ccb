"""Fills a collection of the embedded MongoDB with many documents, in seconds: by SQL in its file.

Over the wire, a million documents take minutes. The first document of each kind is written over the wire, so the others
have the form in which the server stores it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pymongo.collection import Collection

Kind = Literal["done", "failed", "pending", "new"]

MODEL = "ViT-B-32-quickgelu/openai"
# Real vectors have 512 numbers or more; with these the file fits a small disk.
_VECTOR = [round(0.01 * number, 4) for number in range(16)]
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_COPY = """
WITH RECURSIVE numbers(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?)
INSERT INTO "{table}" (_id, data) SELECT printf('photo-%08d', n), replace(?, ?, printf('photo-%08d', n)) FROM numbers
"""


def fill(collection: Collection[dict[str, Any]], path: Path, count: int, shares: Mapping[Kind, float]) -> None:
    """Insert documents with the ids `photo-00000000` and up, one kind after another.

    Args:
        collection: An empty collection.
        path: The SQLite file of its database.
        count: The number of documents.
        shares: The share of each kind.
    """
    collection.insert_many([_document(kind) for kind in shares])
    with closing(sqlite3.connect(path, timeout=60)) as file, file:
        templates = dict(file.execute(f'SELECT _id, data FROM "{collection.name}"'))  # noqa: S608  (our own name)
        file.execute(f'DELETE FROM "{collection.name}"')  # noqa: S608
        first = 0
        for kind, share in shares.items():
            end = first + round(share * count)
            file.execute(_COPY.format(table=collection.name), (first, end, templates[_name(kind)], _name(kind)))
            first = end


def _name(kind: Kind) -> str:
    return f"template-of-{kind}"


def _document(kind: Kind) -> dict[str, Any]:
    name = _name(kind)
    document = {"_id": name, "imageUrl": f"https://images.example.com/{name}.jpg", "title": f"Photo {name}"}
    url = document["imageUrl"]
    job = {"status": kind, "url": url, "enqueued_at": _AT, "task_id": name}
    if kind == "done":
        vector = {"model": MODEL, "dim": len(_VECTOR), "sha256": name, "width": 640, "height": 480, "format": "JPEG"}
        return {**document, "embedding": _VECTOR, "embedding_job": {**job, **vector, "finished_at": _AT, "attempts": 1}}
    if kind == "failed":
        error = {"code": "http_404", "stage": "fetch", "message": f"{url} answered 404"}
        return {**document, "embedding_job": {**job, "finished_at": _AT, "attempts": 1, "error": error}}
    return document if kind == "new" else {**document, "embedding_job": job}
