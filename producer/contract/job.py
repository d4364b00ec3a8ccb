"""The wire contract: the names, the job, its payload and the document's fields.

The one owner of everything that two programs must agree on. It knows neither Redis nor Celery nor MongoDB.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict
from urllib.parse import urlsplit

from producer.contract.errors import InvalidJob

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

IMAGE_QUEUE = "images"
IMAGE_TASK = "clipqueue.embed_image"
# The Redis list of what came off the queue and was no job, newest first: JSON objects with `parked_at` (ms since the
# epoch), `reason`, `bytes` (its size) and `item` (its beginning, as base64).
PARKED_LIST = "clipqueue:parked"
# Where kombu notes what workers have taken and not yet acked: a hash of messages by delivery tag, and a sorted set of
# when (seconds since the epoch).
UNACKED = "unacked"
UNACKED_INDEX = "unacked_index"
# On Redis, one key for each worker process, this with its node's name behind it: a `WorkerNote` as JSON. It is gone
# WORKER_NOTE_S seconds after the worker's last sign of life.
WORKER_KEY = "clipqueue:worker:"
WORKER_NOTE_S = 30
DEFAULT_DATABASE = "clipqueue"
DEFAULT_COLLECTION = "images"

MAX_URL_CHARS = 2048
MAX_ID_CHARS = 1024
# The last millisecond that a BSON date and Python's datetime both know (9999-12-31).
MAX_TIME_MS = 253_402_300_799_999

JOB_KEYS = ("image_id", "url", "enqueued_at", "force")
_MAX_DESCRIPTION_CHARS = 4096
_HEX24 = re.compile(r"[0-9a-fA-F]{24}")
# Most URLs; every one that matches is one that is fetched.
_USUAL_URL = re.compile(r"https?://[a-z0-9.-]+/[!-\[\]-~]*")
# A URL that is plain up to its query or fragment, if it has any.
_PLAIN_URL = re.compile(r"https?://[^?#@\[\]\\\x00-\x20\x7f-\U0010ffff]*(?=[?#]|\Z)")
# From the query's mark to the next white space: rather a word too many than a signature.
_QUERY_IN_TEXT = re.compile(r"(\bhttps?://[^\s?#]*)[?#]\S*", re.IGNORECASE)
# What urlsplit would silently strip, and what no URL may contain unescaped (RFC 3986, section 2).
_FORBIDDEN_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class ObjectIdRef:
    """A MongoDB ObjectId by its 24 hex digits, so that the producer needs no bson package."""

    hex: str

    def __str__(self) -> str:
        return self.hex


ImageId = str | ObjectIdRef


class ErrorFields(TypedDict):
    """`embedding_job.error`, present only when the job failed."""

    code: str
    stage: str
    message: str


class EmbeddingJob(TypedDict):
    """`embedding_job`, the sub-document a worker writes beside `embedding`.

    `status` is `done` or `failed`; or `pending`, if the client recorded a job (`enqueue(..., record=True)`) that has
    not ended, and then there are neither `finished_at` nor `attempts`, and `force` if it was asked for.
    """

    status: str
    url: NotRequired[str]
    enqueued_at: datetime
    finished_at: NotRequired[datetime]
    attempts: NotRequired[int]
    model: NotRequired[str]
    dim: NotRequired[int]
    sha256: NotRequired[str]
    width: NotRequired[int]
    height: NotRequired[int]
    format: NotRequired[str]
    error: NotRequired[ErrorFields]
    force: NotRequired[bool]


class WorkerNote(TypedDict):
    """What a worker process says of itself on Redis, for `clipqueue doctor` and whoever asks for its model.

    `started_at` and `at`, when it was written, are milliseconds since the epoch by the worker's own clock.
    `store_away`: MongoDB does not answer, so that it takes no messages.
    """

    node: str
    version: str
    model: str
    database: str
    collection: str
    concurrency: int
    visibility_timeout_s: int
    upsert: bool
    started_at: int
    at: int
    store_away: bool


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


def redact_url(url: str) -> str:
    """Return scheme, host and path: a signed URL's secret lives in its query string."""
    if plain := _PLAIN_URL.match(url):
        return plain[0]  # as what follows would, in a tenth of the time
    try:
        parts = urlsplit(url)
    except ValueError:
        return "<unreadable URL>"
    netloc = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{netloc}{parts.path}" if parts.scheme else parts.path


def redact_text(text: str) -> str:
    """Cut the query and fragment off every URL in a text."""
    return _QUERY_IN_TEXT.sub(r"\1", text) if "://" in text else text


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
    _check_text("image_id", image_id)
    if _CONTROL.search(image_id):  # it would forge log lines and terminal output
        raise InvalidJob("image_id contains a control character")


def check_url(url: str) -> None:
    """Check that a URL is one that is fetched: a string, http or https, with a host, at most 2,048 characters.

    Raises:
        InvalidJob: It is not; the message says why, without repeating the URL.
    """
    if not isinstance(url, str):  # callers of the client may have no type checker
        raise InvalidJob(f"url must be a string, not {type(url).__name__}")
    if len(url) > MAX_URL_CHARS:
        raise InvalidJob(f"the URL has {len(url)} characters; at most {MAX_URL_CHARS} are allowed")
    if not _USUAL_URL.fullmatch(url):  # which takes a tenth of the time
        _check_unusual_url(url)


def _check_unusual_url(url: str) -> None:
    _check_text("the URL", url)
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port  # reading it checks it
    except ValueError:
        raise InvalidJob("the URL cannot be read: its host or port is malformed") from None
    if not parts.scheme:
        raise InvalidJob("the URL has no scheme; it must start with http:// or https://")
    if parts.scheme not in ("http", "https"):
        raise InvalidJob(f"the URL's scheme is {parts.scheme!r}; only http and https are fetched")
    if _FORBIDDEN_IN_URL.search(url):
        raise InvalidJob("the URL contains a space, backslash or control character; percent-encode it")
    if parts.username is not None or parts.password is not None:
        raise InvalidJob("the URL contains a user name or password; use a URL that needs none, such as a signed one")
    if host and "%" in host:
        raise InvalidJob("the URL's host contains a percent sign: no zone ids, no escapes")
    if not host or port == 0:
        raise InvalidJob("the URL has no host" if not host else "the URL's port is 0")


def _check_text(name: str, text: str) -> None:
    if "\x00" in text:
        raise InvalidJob(f"{name} contains a null character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidJob(f"{name} is not valid Unicode text (it has a lone surrogate)") from None
