"""Reads the producer's settings from the environment."""

from __future__ import annotations

import os

from ..contract.errors import ConfigurationError
from ..contract.names import DEFAULT_COLLECTION


def redis_url_from_env() -> str:
    """Return `REDIS_URL`.

    Raises:
        ConfigurationError: It is not set.
    """
    url = os.environ.get("REDIS_URL")
    if not url:
        raise ConfigurationError("REDIS_URL is not set; expected format: redis://:password@host:6379/0")
    return url


def mongodb_uri() -> str | None:
    """Return `MONGODB_URI`, else `MONGO_URL`; None if neither is set."""
    return os.environ.get("MONGODB_URI") or os.environ.get("MONGO_URL") or None


def collection_name() -> str:
    """Return `CLIPQUEUE_COLLECTION`, or the default."""
    return os.environ.get("CLIPQUEUE_COLLECTION") or DEFAULT_COLLECTION
