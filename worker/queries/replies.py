"""Makes the answers to queries: of a vector, or of an error."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.contract.queries import answer_json, error_json
from producer.contract.text import without_middle
from worker.errors import InternalError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from producer.contract.queries import Answer, Request
    from worker.errors import JobError
    from worker.telemetry.figures import QueryKind

logger = logging.getLogger(__name__)

_MAX_MESSAGE_CHARS = 500


@dataclass(frozen=True)
class Reply:
    """The answer to one query.

    Attributes:
        query_id: The query.
        kind: What it asked about; `unknown` if it cannot be read.
        to: The list that is answered to.
        body: The answer as JSON.
        has_vector: Whether it gives a vector, and no error.
    """

    query_id: str
    kind: QueryKind
    to: str
    body: bytes
    has_vector: bool = False


def packed(vector: NDArray[np.float32]) -> bytes:
    """Return a vector as little-endian float32."""
    return vector.astype("<f4").tobytes()


def with_answer(request: Request, answer: Answer) -> Reply:
    """Return the reply that gives a vector."""
    body = answer_json(request.id, answer)
    return Reply(request.id, request.query.kind, request.reply, body, has_vector=True)


def with_code(request: Request, code: str, stage: str, message: str) -> Reply:
    """Return the reply that says why there is no vector."""
    body = _error_json(request.id, code, stage, message)
    return Reply(request.id, request.query.kind, request.reply, body)


def to_unreadable(query_id: str, reply: str, message: str) -> Reply:
    """Return the reply to a query of which only the list to answer to can be read."""
    return Reply(query_id, "unknown", reply, _error_json(query_id, "invalid_query", "receive", message))


def with_error(request: Request, error: JobError) -> Reply:
    """Return the reply for an error of a stage."""
    return with_code(request, error.code, error.stage, str(error))


def with_unexpected(request: Request, exc: Exception) -> Reply:
    """Return the reply for an error that no stage should raise, and log its traceback."""
    logger.error("query=%s unexpected error", request.id, exc_info=exc)
    return with_error(request, InternalError(f"{type(exc).__name__}; the worker's log has the traceback"))


def _error_json(query_id: str, code: str, stage: str, message: str) -> bytes:
    facts = {"query": query_id, "stage": stage, "code": code, "error": message}
    logger.warning("query=%s failed stage=%s code=%s: %s", *facts.values(), extra=facts)
    return error_json(query_id, code, stage, without_middle(message, _MAX_MESSAGE_CHARS))
