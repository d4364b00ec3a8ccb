"""The producer side of clipqueue: what a web backend imports. Light on purpose: no Celery, no torch."""

from producer.client.client import EmbeddingClient
from producer.contract.errors import BrokerUnavailable, ClipqueueError, ConfigurationError, InvalidJob, StoreUnavailable
from producer.contract.job import ImageJob, ObjectIdRef

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
