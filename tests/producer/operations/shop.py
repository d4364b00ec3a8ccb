"""Documents of a shop, whose images are enqueued by backfills and sweeps."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from producer.contract.job import now_ms
from producer.contract.records import bson_date
from tests.support.commands import COMMAND, start
from tests.support.doctor import write_heartbeat

if TYPE_CHECKING:
    import subprocess

    import redis
    from pymongo.collection import Collection

Document = dict[str, Any]

URL = "http://host/a.jpg"
T = 1_700_000_000_000  # ms
AGE_S = 300.0  # the default of `clipqueue sweep --age`
FIELD = ("--url-field", "media.imageUrl")


def photo(document_id: Any, url: Any = URL, record: Document | None = None) -> Document:
    document = {"_id": document_id, "media": {"imageUrl": url}}
    return {**document, "embedding_job": record} if record else document


def done(url: str = URL, model: str = "m") -> Document:
    return {"status": "done", "url": url, "model": model, "enqueued_at": bson_date(T)}


def failed(code: str = "http_404", url: str = URL) -> Document:
    return {"status": "failed", "url": url, "enqueued_at": bson_date(T), "error": {"code": code}}


def pending(seconds_ago: float = 2 * AGE_S, **fields: Any) -> Document:
    at = bson_date(now_ms()) - timedelta(seconds=seconds_ago)
    return {"status": "pending", "url": URL, "enqueued_at": at, **fields}


def fill(shop: Collection[Document], count: int) -> list[str]:
    """Insert documents, half of them with ObjectIds; return their ids as `queued_ids` does."""
    ids: list[Any] = [f"p-{number:04}" for number in range(count // 2)]
    ids += [ObjectId() for _ in range(count - len(ids))]
    shop.insert_many([photo(document_id) for document_id in ids])
    return [str(document_id) for document_id in ids]


def write_worker(queue: redis.Redis, node: str, model: str, collection: str = "shop") -> None:
    """Write the heartbeat of a worker with this model to Redis."""
    write_heartbeat(queue, node, model=model, collection=collection)


def start_backfill(env: dict[str, str], *options: str) -> subprocess.Popen[str]:
    return start([*COMMAND, "backfill", *FIELD, *options], {**os.environ, **env})
