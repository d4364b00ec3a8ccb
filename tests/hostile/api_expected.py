"""What a hostile request must be answered with: the status, and an error in the shape of its family of routes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.api import ENQUEUE_KEY, KEY, SEARCH_KEY

if TYPE_CHECKING:
    from tests.hostile.api_http import Answer

OPENAI, HUGGING_FACE, TEI, PLAIN = "openai", "huggingface", "tei", "plain"
SIGNATURE = "deadbeef"  # in the query string of URLs
MAX_BODY_BYTES = 2048
_SECRETS = (KEY, SEARCH_KEY, ENQUEUE_KEY, SIGNATURE)
_TRACES = ("Traceback", 'File "')
_ANY = object()


@dataclass(frozen=True)
class Expected:
    """An answer.

    Attributes:
        status: The HTTP status; 0 for a connection that is closed without an answer.
        shape: Whose errors it looks like; `plain` for the text that answers what is not HTTP.
        code: The error's `code`, or TEI's `error_type`.
        param: The part of the request that the error names.
    """

    status: int
    shape: str = PLAIN
    code: str = ""
    param: Any = _ANY

    def check(self, answers: list[Answer]) -> None:
        """Fail unless there is exactly this answer, which shows nothing that the client need not know."""
        assert [answer.status for answer in answers] == ([self.status] if self.status else [])
        for answer in answers:
            assert len(answer.body) <= MAX_BODY_BYTES, answer.body[:500]
            check_hides_secrets(answer.body.decode())
            self._check_shape(answer)

    def _check_shape(self, answer: Answer) -> None:
        kind = "text/plain; charset=utf-8" if self.shape == PLAIN else "application/json"
        assert answer.headers["content-type"] == kind
        assert answer.headers.keys().isdisjoint({"server", "set-cookie", "location"})
        if self.shape == PLAIN:
            return
        assert answer.headers["x-content-type-options"] == "nosniff"
        body = answer.json()
        if self.shape == OPENAI:
            error = body.pop("error")
            assert (body, error.keys()) == ({}, {"message", "type", "param", "code"})
            assert error["code"] == self.code, error
            assert self.param in {_ANY, error["param"]} if self.param is not None else error["param"] is None, error
            assert error["message"]
        elif self.shape == HUGGING_FACE:
            assert body.keys() == {"error"}
            assert isinstance(body["error"], str)
            assert self.code in body["error"]
        else:
            assert body.keys() == {"error", "error_type"}
            assert body["error_type"] == self.code, body


def openai(status: int, code: str = "invalid_request", param: Any = _ANY) -> Expected:
    """Return an error of the routes under /v1, and of all paths without a family."""
    return Expected(status, OPENAI, code, param)


def hugging_face(status: int, words: str = "") -> Expected:
    """Return an error of the routes of Hugging Face, whose text has these words."""
    return Expected(status, HUGGING_FACE, words)


def tei(status: int, error_type: str) -> Expected:
    """Return an error of the routes of Text Embeddings Inference."""
    return Expected(status, TEI, error_type)


NOT_HTTP = Expected(400)
CLOSED = Expected(0)


def check_hides_secrets(text: str) -> None:
    """Fail if an answer or a log shows a key, the query string of a URL, or a traceback."""
    for hidden in (*_SECRETS, *_TRACES):
        assert hidden not in text, f"{hidden!r} in {json.dumps(text[-2000:])}"
