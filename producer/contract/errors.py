"""The errors a producer can meet.

ClipqueueError
├── InvalidJob            the job itself is wrong; nothing was enqueued
├── ConfigurationError    a setting is missing or cannot be read
├── BrokerUnavailable     Redis did not take the message
└── StoreUnavailable      MongoDB did not answer
"""

from __future__ import annotations


class ClipqueueError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidJob(ClipqueueError, ValueError):
    """The job cannot be run as it stands; the message says what to change."""


class ConfigurationError(ClipqueueError):
    """A setting is missing or cannot be read; the message names it."""


class BrokerUnavailable(ClipqueueError, ConnectionError):
    """Redis could not be reached or refused the message; names the host, never the password."""


class StoreUnavailable(ClipqueueError, ConnectionError):
    """MongoDB could not be reached; names the host, never the password."""
