"""The job, and its keyword arguments on the wire. Knows neither Redis nor Celery nor MongoDB."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.contract.errors import InvalidJob
from producer.contract.urls import check_text, check_url, redact_text, redact_url

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ID_CHARS = 1024
# The last millisecond that a BSON date and Python's datetime both know (9999-12-31).
MAX_TIME_MS = 253_402_300_799_999
JOB_KEYS = ("image_id", "url", "enqueued_at", "force")
_MAX_DESCRIPTION_CHARS = 4096
_HEX24 = re.compile(r"[0-9a-fA-F]{24}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class ObjectIdRef:
    """A MongoDB ObjectId by its 24 hex digits, so that the producer needs no bson package."""

    hex: str

    def __str__(self) -> str:
        return self.hex


ImageId = str | ObjectIdRef


@dataclass(frozen=True, slots=True)
class ImageJob:
    """One image to embed.

    Attributes:
        image_id: The document's `_id`.
        url: An http or https URL, at most 2,048 characters.
        enqueued_at_ms: Milliseconds since the epoch; the last enqueue of an image wins.
        force: Embed again even if the document already holds this model's vector for this URL.

    Raises:
        InvalidJob: A field has the wrong type or a value that no worker could use.
    """

    image_id: ImageId
    url: str
    enqueued_at_ms: int
    force: bool = False

    def __post_init__(self) -> None:
        _check_id(self.image_id)
        check_url(self.url)
        if not 0 <= self.enqueued_at_ms <= MAX_TIME_MS:
            raise InvalidJob("enqueued_at must be milliseconds since the epoch")

    @classmethod
    def new(cls, image_id: object, url: str, *, force: bool = False) -> ImageJob:
        """Make a job enqueued now; `image_id` may be anything `parse_image_id` takes."""
        return cls(parse_image_id(image_id), url, now_ms(), force)

    def to_kwargs(self) -> dict[str, Any]:
        """Return the task's keyword arguments, ready for JSON."""
        wire_id = {"$oid": self.image_id.hex} if isinstance(self.image_id, ObjectIdRef) else self.image_id
        kwargs: dict[str, Any] = {"image_id": wire_id, "url": self.url, "enqueued_at": self.enqueued_at_ms}
        if self.force:
            kwargs["force"] = True
        return kwargs

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> ImageJob:
        """Read a job from keyword arguments that any program may have written.

        Unknown keys are ignored. A time in the future is taken as now, since it would otherwise win over
        every later job for the same image.

        Raises:
            InvalidJob: A key is missing, or has the wrong type or value.
        """
        for key in ("image_id", "url"):
            if key not in kwargs:
                raise InvalidJob(f"the message has no {key!r}")
        force = kwargs.get("force", False)
        if not isinstance(force, bool):
            raise InvalidJob(f"force must be true or false, not {type(force).__name__}")
        return cls(parse_image_id(kwargs["image_id"]), kwargs["url"], read_enqueued_at(kwargs), force)

    def describe(self) -> str:
        """Return the keyword arguments as Flower and logs may show them: no query string, no fragment."""
        return describe_kwargs(self.to_kwargs())


def parse_image_id(value: object) -> ImageId:
    """Read an id: a string, `{"$oid": "<24 hex>"}`, an `ObjectIdRef` or a `bson.ObjectId`.

    Raises:
        InvalidJob: It is none of these, is empty, or is longer than 1,024 characters.
    """
    if isinstance(value, dict) and set(value) == {"$oid"} and isinstance(value["$oid"], str):
        value = ObjectIdRef(value["$oid"].lower())
    elif type(value).__name__ == "ObjectId":  # bson.ObjectId, without importing bson
        value = ObjectIdRef(str(value))
    if not isinstance(value, str | ObjectIdRef):
        raise InvalidJob('image_id must be a string or {"$oid": "<24 hex digits>"}')
    _check_id(value)
    return value


def read_enqueued_at(kwargs: Mapping[str, Any]) -> int:
    """Return a message's `enqueued_at` in milliseconds, or now if it has none.

    Raises:
        InvalidJob: It is not a whole number.
    """
    enqueued_at = kwargs.get("enqueued_at")
    if enqueued_at is None:
        return now_ms()
    # bool is an int in Python, not on the wire; JavaScript writes whole numbers, some clients 1.7e12.
    is_whole = isinstance(enqueued_at, int) or (isinstance(enqueued_at, float) and enqueued_at.is_integer())
    if isinstance(enqueued_at, bool) or not is_whole:
        raise InvalidJob("enqueued_at must be a whole number of milliseconds since the epoch")
    return min(int(enqueued_at), now_ms())


def id_of_url(url: str) -> str:
    """Return an id that depends on the URL alone, for jobs without a document of their own."""
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def describe_kwargs(kwargs: Mapping[str, Any]) -> str:
    """Return a message's keyword arguments as Flower may show them: the contract's alone, without any URL's query."""
    shown = {
        name: (redact_url if name == "url" else redact_text)(value) if isinstance(value := kwargs[name], str) else value
        for name in JOB_KEYS
        if name in kwargs
    }
    return repr(shown)[:_MAX_DESCRIPTION_CHARS]


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _check_id(image_id: ImageId) -> None:
    if isinstance(image_id, ObjectIdRef):
        if not _HEX24.fullmatch(image_id.hex):
            raise InvalidJob("an ObjectId has exactly 24 hex digits")
        return
    if not image_id:
        raise InvalidJob("image_id is empty; give the _id of the document that should get the vector")
    if len(image_id) > MAX_ID_CHARS:
        raise InvalidJob(f"image_id has {len(image_id)} characters; at most {MAX_ID_CHARS} are allowed")
    check_text("image_id", image_id)
    if _CONTROL.search(image_id):  # it would forge log lines and terminal output
        raise InvalidJob("image_id contains a control character")
