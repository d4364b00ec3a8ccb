"""The producer side of clipqueue: what a web backend imports. Light on purpose: no Celery, no torch."""

from producer.client import EmbeddingClient
from producer.contract import ImageJob, ObjectIdRef
from producer.errors import BrokerUnavailable, ClipqueueError, ConfigurationError, InvalidJob, StoreUnavailable

__all__ = [
    "BrokerUnavailable",
    "ClipqueueError",
    "ConfigurationError",
    "EmbeddingClient",
    "ImageJob",
    "InvalidJob",
    "ObjectIdRef",
    "StoreUnavailable",
]
