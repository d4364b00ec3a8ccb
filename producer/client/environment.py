"""What the producer's side reads from the environment about MongoDB. Redis' part is in `producer.client.broker`."""

from __future__ import annotations

import os

from producer.contract.names import DEFAULT_COLLECTION


def mongodb_uri() -> str | None:
    """Return `MONGODB_URI`, else `MONGO_URL`; None if neither is set."""
    return os.environ.get("MONGODB_URI") or os.environ.get("MONGO_URL") or None


def collection_name() -> str:
    """Return `CLIPQUEUE_COLLECTION`, or the default."""
    return os.environ.get("CLIPQUEUE_COLLECTION") or DEFAULT_COLLECTION
