"""The errors that the producer's functions raise.

ClipqueueError
├── InvalidJob            the id or the URL cannot be used; the job was not enqueued
├── ConfigurationError    a setting or an extra is missing or cannot be used
├── BrokerUnavailable     Redis did not accept the message
├── StoreUnavailable      MongoDB did not answer, or refused the request
├── NoWorker              no live worker answers queries
├── Overloaded            too many queries wait already
├── QueryTimeout          no worker answered the query in time
└── EmbeddingFailed       a worker answered that it cannot embed this text or picture
"""

from __future__ import annotations


class ClipqueueError(Exception):
    """Base class of all errors below. Never raised itself."""


class InvalidJob(ClipqueueError, ValueError):
    """The job cannot be run. The message says what to change."""


class ConfigurationError(ClipqueueError):
    """A setting or an extra is missing or cannot be used. The message says what is missing or wrong."""


class BrokerUnavailable(ClipqueueError, ConnectionError):
    """Redis could not be reached or refused the message. The message names the host, never the password."""


class StoreUnavailable(ClipqueueError, ConnectionError):
    """MongoDB could not be reached or refused the request. The message never contains the password."""


class NoWorker(ClipqueueError):
    """No live worker answers queries, or none with this model. The message says which models there are."""


class Overloaded(ClipqueueError):
    """Too many queries wait already. Ask later, or start more workers."""


class QueryTimeout(ClipqueueError, TimeoutError):
    """No worker answered in time."""


class EmbeddingFailed(ClipqueueError):
    """A worker cannot embed this text or picture.

    Attributes:
        code: What went wrong, one of the codes of docs/contract.md.
        stage: Where, such as `fetch`.
        message: The worker's words.
    """

    def __init__(self, code: str, stage: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.stage = stage
        self.message = message
