"""The errors of a search, in addition to those of the producer.

ClipqueueError
├── InvalidSearch         a part of the search cannot be used; `param` names it
├── UnknownImage          a stored image that the search refers to does not exist, or has no vector
├── OtherModel            the search would compare vectors of two models
└── SearchUnavailable     the vectors cannot be searched now; the message says what to do
"""

from __future__ import annotations

from producer.contract.errors import ClipqueueError


class InvalidSearch(ClipqueueError, ValueError):
    """A part of the search cannot be used.

    Attributes:
        param: The part, such as `limit` or `filter.taken_at.$gte`.
    """

    def __init__(self, param: str, message: str) -> None:
        super().__init__(f"{param}: {message}")
        self.param = param


class UnknownImage(ClipqueueError, LookupError):
    """No document has this id, or it has no vector.

    Attributes:
        image_id: The id as text.
    """

    def __init__(self, image_id: str, message: str) -> None:
        super().__init__(message)
        self.image_id = image_id


class OtherModel(ClipqueueError, ValueError):
    """The vectors of the search come from different models, and cannot be compared."""


class SearchUnavailable(ClipqueueError):
    """The vectors cannot be searched now. The message says what to do."""
