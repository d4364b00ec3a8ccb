"""A job, and its keyword arguments in a message."""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .clock import EnqueueClock
from .errors import InvalidJob
from .ids import ImageId, check_image_id, parse_image_id, wire_id
from .text import readable_json
from .trace import NO_TRACE
from .urls import check_url, redact_text, redact_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .trace import Trace

# The last millisecond that both a BSON date and Python's datetime can hold (9999-12-31).
MAX_TIME_MS = 253_402_300_799_999
# A time further ahead of the reader's clock comes from a wrong clock, or from a program that writes microseconds. Less
# is believed: the clocks of two machines never agree exactly.
MAX_AHEAD_MS = 600_000
JOB_KEYS = ("image_id", "url", "enqueued_at", "force")
_MAX_DESCRIPTION_CHARS = 4096


@dataclass(frozen=True, slots=True)
class ImageJob:
    """One image to embed.

    Attributes:
        image_id: The document's `_id`.
        url: An http or https URL, at most 8,192 characters.
        enqueued_at_ms: When the job was enqueued, in milliseconds since the epoch. If an image is enqueued more than
            once, the last enqueue wins.
        force: Embed again even if the document already has this model's vector for this URL.
        task_id: The id of the message (`headers.id`). It is not part of the keyword arguments.
        trace: The headers of the trace that the job belongs to. They are in the message's headers too.

    Raises:
        InvalidJob: A field has the wrong type or an invalid value.
    """

    image_id: ImageId
    url: str
    enqueued_at_ms: int
    force: bool = False
    task_id: str | None = field(default=None, compare=False)
    trace: Trace = field(default_factory=lambda: NO_TRACE, compare=False)

    def __post_init__(self) -> None:
        check_image_id(self.image_id)
        check_url(self.url)
        if not 0 <= self.enqueued_at_ms <= MAX_TIME_MS:
            raise InvalidJob("enqueued_at must be milliseconds since the epoch")

    @classmethod
    def new(cls, image_id: object, url: str, *, force: bool = False, trace: Trace = NO_TRACE) -> ImageJob:
        """Return a job that is enqueued now, with a new task id.

        It wins over every earlier job of this process for the same image. `image_id` may be any value that
        `parse_image_id` accepts.
        """
        parsed = parse_image_id(image_id)
        return cls(parsed, url, next_enqueue_ms(parsed), force, str(uuid.uuid4()), trace)

    def to_kwargs(self) -> dict[str, Any]:
        """Return the task's keyword arguments, ready for JSON."""
        kwargs: dict[str, Any] = {
            "image_id": wire_id(self.image_id),
            "url": self.url,
            "enqueued_at": self.enqueued_at_ms,
        }
        if self.force:
            kwargs["force"] = True
        return kwargs

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any], task_id: str | None = None, trace: Trace = NO_TRACE) -> ImageJob:
        """Read a job from a message's keyword arguments, which any program may have written.

        Unknown keys are ignored. An `enqueued_at` more than 10 minutes ahead is replaced by the current time: otherwise
        the job would win over every later job for the same image.

        Raises:
            InvalidJob: A key is missing, or has the wrong type or value.
        """
        for key in ("image_id", "url"):
            if key not in kwargs:
                raise InvalidJob(f"the message has no {key!r}")
        force = kwargs.get("force", False)
        if not isinstance(force, bool):
            raise InvalidJob(f"force must be true or false, not {type(force).__name__}")
        return cls(parse_image_id(kwargs["image_id"]), kwargs["url"], read_enqueued_at(kwargs), force, task_id, trace)

    def describe(self) -> str:
        """Return the keyword arguments for Flower and logs, without the URL's query and fragment."""
        return describe_kwargs(self.to_kwargs())


def next_enqueue_ms(image_id: ImageId) -> int:
    """Return the time of a job for this image that is enqueued now: later than any other of this process for it."""
    return _clock.next_ms(image_id)


def read_enqueued_at(kwargs: Mapping[str, Any]) -> int:
    """Return a message's `enqueued_at` in ms since the epoch; the current time if it is missing or too far ahead.

    Raises:
        InvalidJob: It is not a whole number.
    """
    enqueued_at = kwargs.get("enqueued_at")
    if enqueued_at is None:
        return now_ms()
    # A bool is an int in Python, but not in JSON. Some clients write 1.7e12, which Python reads as a float.
    is_whole = isinstance(enqueued_at, int) or (isinstance(enqueued_at, float) and enqueued_at.is_integer())
    if isinstance(enqueued_at, bool) or not is_whole:
        raise InvalidJob("enqueued_at must be a whole number of milliseconds since the epoch")
    return believable_ms(int(enqueued_at), now_ms())


def believable_ms(at_ms: int, reader_ms: int) -> int:
    """Return the time at which another program enqueued a job, or the reader's time if that is too far ahead of it."""
    return reader_ms if at_ms > reader_ms + MAX_AHEAD_MS else at_ms


def id_of_url(url: str) -> str:
    """Return an id that is derived from the URL, for images that have no document yet."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def describe_kwargs(kwargs: Mapping[str, Any]) -> str:
    """Return a message's known keyword arguments (JOB_KEYS) as JSON text for Flower and logs. URLs lose their query."""
    shown = {name: _describe_value(name, kwargs[name]) for name in JOB_KEYS if name in kwargs}
    return readable_json(shown)[:_MAX_DESCRIPTION_CHARS]


def now_ms() -> int:
    """Return the current time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


_clock = EnqueueClock(now_ms)


def _describe_value(name: str, value: object) -> object:
    if name == "image_id" and isinstance(value, dict) and "$numberLong" in value:
        return parse_image_id(value)  # a number, as people and Flower's search write it
    if isinstance(value, bool):
        return int(value)  # Flower's search by arguments reads the text as a Python literal, which has no `true`
    if not isinstance(value, str):
        return value
    return redact_url(value) if name == "url" else redact_text(value)
