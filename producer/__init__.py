"""The producer's side of clipqueue. A web backend imports these names; Celery and torch are not needed.

The installed distribution gives this package the import name `clipqueue` too, for backends that have a `producer` of
their own: `from clipqueue import EmbeddingClient`. A program must use one of the two names throughout, because Python
loads the classes once for each name.
"""

from .client.client import AsyncEmbeddingClient, EmbeddingClient
from .contract.errors import (
    BrokerUnavailable,
    ClipqueueError,
    ConfigurationError,
    EmbeddingFailed,
    InvalidJob,
    NoWorker,
    Overloaded,
    QueryTimeout,
    StoreUnavailable,
)
from .contract.ids import ObjectIdRef
from .contract.job import ImageJob

__all__ = [
    "AsyncEmbeddingClient",
    "BrokerUnavailable",
    "ClipqueueError",
    "ConfigurationError",
    "EmbeddingClient",
    "EmbeddingFailed",
    "ImageJob",
    "InvalidJob",
    "NoWorker",
    "ObjectIdRef",
    "Overloaded",
    "QueryTimeout",
    "StoreUnavailable",
]
