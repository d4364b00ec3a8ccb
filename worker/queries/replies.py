"""Makes the answers to queries: of a vector, or of an error."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from producer.contract.queries import answer_json, error_json
from producer.contract.text import without_middle
from worker.errors import InternalError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from producer.contract.queries import Answer, Request
    from worker.errors import JobError

logger = logging.getLogger(__name__)

# The list that is answered to, and the answer.
Reply = tuple[str, bytes]

_MAX_MESSAGE_CHARS = 500


def packed(vector: NDArray[np.float32]) -> bytes:
    """Return a vector as little-endian float32."""
    return vector.astype("<f4").tobytes()


def with_answer(request: Request, answer: Answer) -> Reply:
    """Return the reply that gives a vector."""
    return request.reply, answer_json(request.id, answer)


def with_code(query_id: str, reply: str, code: str, stage: str, message: str) -> Reply:
    """Return the reply that says why there is no vector."""
    logger.warning("query=%s failed stage=%s code=%s: %s", query_id, stage, code, message)
    return reply, error_json(query_id, code, stage, without_middle(message, _MAX_MESSAGE_CHARS))


def with_error(request: Request, error: JobError) -> Reply:
    """Return the reply for an error of a stage."""
    return with_code(request.id, request.reply, error.code, error.stage, str(error))


def with_unexpected(request: Request, exc: Exception) -> Reply:
    """Return the reply for an error that no stage should raise, and log its traceback."""
    logger.error("query=%s unexpected error", request.id, exc_info=exc)
    return with_error(request, InternalError(f"{type(exc).__name__}; the worker's log has the traceback"))
