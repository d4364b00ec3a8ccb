"""A query, which is a text or a picture to embed at once, and its answer: values, their checks, and their JSON.

A query is no job: nothing acks it, retries it or keeps it. docs/contract.md has the keys on Redis.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from .errors import EmbeddingFailed, InvalidJob
from .ids import ImageId, parse_image_id, wire_id
from .job import next_enqueue_ms, read_enqueued_at
from .names import ANSWERS_KEY
from .urls import check_url

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT_CHARS = 8_192
MAX_IMAGE_BYTES = 8 * 1024 * 1024
# A request of a text of the maximum length, in which each character is a surrogate pair as `\\ud83d\\ude00`.
MAX_REQUEST_BYTES = 12 * MAX_TEXT_CHARS + 8_192
_MAX_MODEL_CHARS = 255
_MAX_REPLY_CHARS = 255
_VERSION = 1
_ID = re.compile(r"[0-9a-f]{16,64}")
_REPLY = re.compile(re.escape(ANSWERS_KEY) + r"[!-~]+")
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Save:
    """Where the vector of an uploaded picture is saved besides the answer.

    Attributes:
        image_id: The document's `_id`.
        enqueued_at_ms: When it was asked, in milliseconds since the epoch. Of all jobs and uploads for one image, the
            last one wins.
    """

    image_id: ImageId
    enqueued_at_ms: int

    @classmethod
    def new(cls, image_id: object) -> Save:
        """Return one that is asked now; `image_id` may be any value that a job accepts. Raises InvalidJob."""
        parsed = parse_image_id(image_id)
        return cls(parsed, next_enqueue_ms(parsed))


@dataclass(frozen=True)
class Query:
    """A text or a picture to embed. Make one with `text`, `image_url` or `image_bytes`, which raise InvalidJob.

    Attributes:
        words: The text; None for a picture.
        url: The picture's URL; None for a text or an upload.
        content: The uploaded picture's bytes; None for a text or a URL. A worker's request has them separately.
        model: The model that must answer; None for any.
        truncate: Whether a text that is longer than the model's context may be cut. Otherwise it is an error.
        save: Where an upload's vector is saved; None for nowhere.
    """

    kind: Literal["text", "image"]
    words: str | None = field(default=None, repr=False)
    url: str | None = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    model: str | None = None
    truncate: bool = True
    save: Save | None = None

    @classmethod
    def text(cls, text: str, model: str | None = None, *, truncate: bool = True) -> Query:
        """Return the query for a text of at most 8,192 characters."""
        _check_words(text)
        return cls("text", words=text, model=_checked_model(model), truncate=truncate)

    @classmethod
    def image_url(cls, url: str, model: str | None = None) -> Query:
        """Return the query for the picture at a URL, which a worker downloads as it would for a job."""
        check_url(url)
        return cls("image", url=url, model=_checked_model(model))

    @classmethod
    def image_bytes(cls, content: bytes, model: str | None = None, *, save: Save | None = None) -> Query:
        """Return the query for a picture of at most 8 MiB in a file format that jobs accept."""
        if not isinstance(content, bytes | bytearray | memoryview):
            raise InvalidJob(f"a picture must be bytes, not {type(content).__name__}")
        content = bytes(content)
        if not content:
            raise InvalidJob("the picture is empty")
        if len(content) > MAX_IMAGE_BYTES:
            raise InvalidJob(f"the picture has {len(content)} bytes; at most {MAX_IMAGE_BYTES} are allowed")
        return cls("image", content=content, model=_checked_model(model), save=save)


@dataclass(frozen=True)
class Request:
    """A query as a worker reads it: without the bytes of an upload, which have a key of their own."""

    id: str
    reply: str
    query: Query


class BadRequest(InvalidJob):
    """A request that no worker can answer with a vector.

    Attributes:
        reply: The list that the error is answered to; None if the request names none that may be written to.
    """

    def __init__(self, message: str, reply: str | None = None) -> None:
        super().__init__(message)
        self.reply = reply


@dataclass(frozen=True)
class ImageFacts:
    """What a worker found in a picture: the SHA-256 of the file as hex, its size in pixels and its format."""

    sha256: str
    width: int
    height: int
    format: str


@dataclass(frozen=True)
class Answer:
    """A vector, and how it was made.

    Attributes:
        model: The model's name, as in documents.
        dim: The length of the vector.
        tokens: How many tokens of the text were embedded; 0 for a picture.
        vector: float32, little-endian.
        truncated: Whether the text was longer than the model's context, and was cut.
        image: What the worker found in the picture; None for a text.
        saved: `done` if the vector was saved, `superseded` if a later job for the image is recorded, None if nothing
            was to be saved.
    """

    model: str
    dim: int
    tokens: int
    vector: bytes = field(repr=False)
    truncated: bool = False
    image: ImageFacts | None = None
    saved: Literal["done", "superseded"] | None = None

    def floats(self) -> list[float]:
        """Return the vector as a list."""
        floats = array("f", self.vector)
        if sys.byteorder == "big":
            floats.byteswap()
        return floats.tolist()


def request_json(query_id: str, reply: str, query: Query) -> bytes:
    """Return a request as JSON, without the bytes of an upload."""
    request: dict[str, Any] = {"v": _VERSION, "id": query_id, "reply": reply, "kind": query.kind}
    if query.words is not None:
        request["text"] = query.words
    if query.url is not None:
        request["url"] = query.url
    if query.model is not None:
        request["model"] = query.model
    if not query.truncate:
        request["truncate"] = False
    if query.save is not None:
        request["save"] = {"image_id": wire_id(query.save.image_id), "enqueued_at": query.save.enqueued_at_ms}
    return json.dumps(request).encode()


def read_request(query_id: str, raw: bytes) -> Request:
    """Read a request, which any program may have written. Unknown keys are ignored.

    Raises:
        BadRequest: It is not a valid request.
    """
    if len(raw) > MAX_REQUEST_BYTES:
        raise BadRequest(f"the request has {len(raw)} bytes; at most {MAX_REQUEST_BYTES} are allowed")
    try:
        request: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequest("the request is not JSON") from None
    if not isinstance(request, dict):
        raise BadRequest("the request is not a JSON object")
    reply = request.get("reply")
    if not isinstance(reply, str) or len(reply) > _MAX_REPLY_CHARS or not _REPLY.fullmatch(reply):
        raise BadRequest(f"the request's 'reply' is not a key that starts with {ANSWERS_KEY}")
    if request.get("v") != _VERSION or request.get("id") != query_id:
        raise BadRequest(f"the request's 'v' must be {_VERSION}, and its 'id' must be that of its key", reply)
    try:
        return Request(query_id, reply, _read_query(request))
    except InvalidJob as exc:
        raise BadRequest(str(exc), reply) from None


def is_query_id(value: str) -> bool:
    """Return whether a list's entry can be a query's id: 16 to 64 hex digits."""
    return _ID.fullmatch(value) is not None


def answer_json(query_id: str, answer: Answer) -> bytes:
    """Return an answer as JSON."""
    body: dict[str, Any] = {
        "id": query_id,
        "model": answer.model,
        "dim": answer.dim,
        "tokens": answer.tokens,
        "vector": base64.b64encode(answer.vector).decode(),
    }
    if answer.truncated:
        body["truncated"] = True
    if answer.image is not None:
        image = answer.image
        body |= {"sha256": image.sha256, "width": image.width, "height": image.height, "format": image.format}
    if answer.saved is not None:
        body["saved"] = answer.saved
    return json.dumps(body).encode()


def error_json(query_id: str, code: str, stage: str, message: str) -> bytes:
    """Return an answer that says why there is no vector."""
    return json.dumps({"id": query_id, "error": {"code": code, "stage": stage, "message": message}}).encode()


def read_answer(raw: bytes) -> tuple[str, Answer | EmbeddingFailed]:
    """Read an answer; return the query's id with the answer, or with the error to raise.

    Raises:
        ValueError: No worker wrote this.
    """
    try:
        body: Any = json.loads(raw)
        if "error" in body:
            error = body["error"]
            return str(body["id"]), EmbeddingFailed(str(error["code"]), str(error["stage"]), str(error["message"]))
        vector = base64.b64decode(body["vector"], validate=True)
        answer = Answer(
            model=str(body["model"]),
            dim=int(body["dim"]),
            tokens=int(body["tokens"]),
            vector=vector,
            truncated=body.get("truncated") is True,
            image=_read_facts(body) if "sha256" in body else None,
            saved=body.get("saved"),
        )
    except (KeyError, TypeError, AttributeError, binascii.Error, RecursionError) as exc:
        raise ValueError(f"not an answer: {type(exc).__name__}") from None
    if len(vector) != _FLOAT_BYTES * answer.dim:
        raise ValueError("not an answer: the vector has another length than it says")
    return str(body["id"]), answer


def _read_facts(body: Mapping[str, Any]) -> ImageFacts:
    return ImageFacts(str(body["sha256"]), int(body["width"]), int(body["height"]), str(body["format"]))


def _read_query(request: Mapping[str, Any]) -> Query:
    kind, truncate, model = request.get("kind"), request.get("truncate", True), request.get("model")
    if not isinstance(truncate, bool):
        _refuse("truncate", "true or false", truncate)
    if kind == "text":
        return Query.text(request.get("text"), model, truncate=truncate)  # type: ignore[arg-type]  # checks it
    if kind != "image":
        raise InvalidJob("the request's 'kind' must be 'text' or 'image'")
    save = _read_save(request["save"]) if request.get("save") is not None else None
    if request.get("url") is None:
        return Query("image", model=_checked_model(model), save=save)
    if save is not None:
        raise InvalidJob("the request has both 'url' and 'save': enqueue a job for a picture that has a URL")
    return Query.image_url(request["url"], model)


def _read_save(save: object) -> Save:
    if not isinstance(save, dict):
        _refuse("save", "an object", save)
    return Save(parse_image_id(save.get("image_id")), max(0, read_enqueued_at(save)))


def _check_words(text: object) -> None:
    if not isinstance(text, str):
        _refuse("text", "a string", text)
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidJob(f"the text has {len(text)} characters; at most {MAX_TEXT_CHARS} are allowed")
    if not text.strip():
        raise InvalidJob("the text is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidJob("the text is not valid Unicode text (it has a lone surrogate)") from None


def _checked_model(model: object) -> str | None:
    if model is None:
        return None
    if not isinstance(model, str):
        _refuse("model", "a string", model)
    if not 0 < len(model) <= _MAX_MODEL_CHARS or not model.isprintable():
        raise InvalidJob(f"a model's name has 1 to {_MAX_MODEL_CHARS} printable characters")
    return model


def _refuse(name: str, expected: str, value: object) -> NoReturn:
    raise InvalidJob(f"{name} must be {expected}, not {type(value).__name__}")
