"""The errors that the producer's functions raise.

ClipqueueError
├── InvalidJob            the id or the URL cannot be used; the job was not enqueued
├── ConfigurationError    a setting or an extra is missing or cannot be used
├── BrokerUnavailable     Redis did not accept the message
└── StoreUnavailable      MongoDB did not answer, or refused the request
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
