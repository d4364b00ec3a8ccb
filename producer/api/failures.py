"""The errors that the API answers with, and the shape of each: OpenAI's, Hugging Face's or TEI's.

The path alone decides the shape, so that a client reads every error of a route in the way it knows.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from producer.contract.errors import (
    BrokerUnavailable,
    ClipqueueError,
    EmbeddingFailed,
    InvalidJob,
    NoWorker,
    Overloaded,
    QueryTimeout,
    StoreUnavailable,
)
from producer.contract.text import printable
from producer.contract.urls import redact_text
from producer.search.errors import InvalidSearch, OtherModel, SearchUnavailable, UnknownImage

OPENAI, HUGGING_FACE, TEI = "openai", "huggingface", "tei"
_HUGGING_FACE_PREFIXES = ("/models/", "/hf-inference/", "/pipeline/")
_TEI_PATHS = ("/embed", "/info", "/health")
_RETRY_S = 2
_MAX_MESSAGE_CHARS, _MAX_PARAM_CHARS = 1000, 200
# OpenAI's names of the kinds of errors.
_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_TEI_TYPES = {429: "overloaded", 503: "unhealthy", 504: "backend", 500: "backend"}
_TEI_STATUSES = {504: 424}
_ANSWERS: tuple[tuple[type[ClipqueueError], int, str, int | None], ...] = (
    (InvalidJob, 400, "invalid_request", None),
    (Overloaded, 429, "overloaded", 1),
    (NoWorker, 503, "no_worker", _RETRY_S),
    (QueryTimeout, 504, "timeout", _RETRY_S),
    (BrokerUnavailable, 503, "redis_unavailable", _RETRY_S),
    (StoreUnavailable, 503, "mongodb_unavailable", _RETRY_S),
    (OtherModel, 422, "other_model", None),
    (SearchUnavailable, 503, "search_unavailable", _RETRY_S),
)
_FAULTS_OF_THE_IMAGE = ("receive", "fetch", "decode")


class ApiError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: The HTTP status.
        code: A word that programs can compare.
        param: The part of the request that is wrong, such as `input[3]`.
        retry_after_s: After how many seconds a client may try again; None if that is useless.
    """

    def __init__(
        self, status: int, code: str, message: str, *, param: str | None = None, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        # Both may repeat what the request holds: any characters, and any number of them.
        self.message = printable(redact_text(message), _MAX_MESSAGE_CHARS)
        self.param = param and printable(param, _MAX_PARAM_CHARS)
        self.retry_after_s = retry_after_s


def bad_request(message: str, param: str | None = None, code: str = "invalid_request") -> ApiError:
    """Return a 400."""
    return ApiError(400, code, message, param=param)


def as_api_error(exc: ClipqueueError, param: str | None = None) -> ApiError:
    """Return the answer to an error of the client's functions and of the search."""
    if isinstance(exc, EmbeddingFailed):
        return _failed(exc, param)
    if isinstance(exc, InvalidSearch):
        return bad_request(str(exc), exc.param)
    if isinstance(exc, UnknownImage):
        return ApiError(404, "image_not_found", str(exc), param="like")
    for kind, status, code, retry_after_s in _ANSWERS:
        if isinstance(exc, kind):
            return ApiError(status, code, str(exc), param=param, retry_after_s=retry_after_s)
    return ApiError(503, "not_configured", str(exc))


def _failed(exc: EmbeddingFailed, param: str | None) -> ApiError:
    if exc.code in {"text_too_long", "invalid_query"}:
        return bad_request(exc.message, param, exc.code)
    if exc.code == "wrong_model":
        return ApiError(404, "model_not_found", exc.message, param="model")
    if exc.stage in _FAULTS_OF_THE_IMAGE:
        return ApiError(422, exc.code, exc.message, param=param)
    return ApiError(503, exc.code, exc.message, retry_after_s=_RETRY_S)


def shape_of(path: str, method: str = "POST") -> str:
    """Return whose errors a path answers with."""
    if path.startswith(_HUGGING_FACE_PREFIXES):
        return HUGGING_FACE
    is_tei = path in _TEI_PATHS or (path == "/" and method == "POST")
    return TEI if is_tei else OPENAI


def error_body(error: ApiError, shape: str) -> dict[str, Any]:
    """Return the JSON of an error."""
    if shape == HUGGING_FACE:
        is_named = error.param is not None and error.param != "model"
        return {"error": f"{error.param}: {error.message}" if is_named else error.message}
    if shape == TEI:
        return {
            "error": error.message,
            "error_type": error.code if error.code == "empty" else _TEI_TYPES.get(error.status, "validation"),
        }
    kind = _TYPES.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")  # noqa: PLR2004
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def error_response(error: ApiError, path: str, method: str = "POST") -> JSONResponse:
    """Return the answer to a request that failed."""
    shape = shape_of(path, method)
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    if error.status == 401:  # noqa: PLR2004
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error_body(error, shape), _status(error, shape), headers)


def _status(error: ApiError, shape: str) -> int:
    if shape == HUGGING_FACE and error.status == 503:  # noqa: PLR2004
        return 504  # @huggingface/inference repeats a request that is answered with 503 at once, without end
    if shape == TEI:
        return 413 if error.code == "text_too_long" else _TEI_STATUSES.get(error.status, error.status)
    return error.status
