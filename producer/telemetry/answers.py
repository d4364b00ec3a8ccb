"""What the telemetry server answers: metrics in the form that the client asks for, and whether the process is well."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import make_wsgi_app

from producer.contract.text import printable
from producer.telemetry.head import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from prometheus_client import CollectorRegistry

    from producer.telemetry.head import Head

_LOG = logging.getLogger("clipqueue.telemetry")
LIVE, READY = "/livez", "/readyz"
UNAVAILABLE = "503 Service Unavailable"
_MAX_PROBLEM_CHARS = 300
_TEXT = ("Content-Type", "text/plain; charset=utf-8")


@dataclass(frozen=True)
class Answer:
    """An answer: the status line, such as `200 OK`, the headers that depend on the body, and the body."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def text(cls, status: str, line: str) -> Answer:
        """Return an answer of one line."""
        return cls(status, (_TEXT,), f"{printable(line, _MAX_PROBLEM_CHARS)}\n".encode())


class Answers:
    """Finds the answer to each request. Its `find` is called in threads that may have to wait.

    Args:
        registries: The metrics by their path, such as `/metrics`.
        live: Returns why the process has to be restarted; an empty text if it need not be.
        ready: Returns why the process cannot work now; an empty text if it can.
    """

    def __init__(
        self, registries: Mapping[str, CollectorRegistry], live: Callable[[], str], ready: Callable[[], str]
    ) -> None:
        self._scrapes = {path: make_wsgi_app(registry) for path, registry in registries.items()}
        self._checks = {LIVE: live, READY: ready}
        self._failing: set[str] = set()

    def is_scrape(self, head: Head) -> bool:
        """Return whether a request asks for metrics, and not for a check."""
        return head.path in self._scrapes

    def key(self, head: Head) -> Hashable:
        """Return what is equal for all requests that have the same answer.

        Raises:
            Refused: The path is unknown.
        """
        if head.path in self._checks:
            return head.path
        if head.path in self._scrapes:
            return head.path, head.query, head.accept, head.accept_encoding
        paths = ", ".join((*self._scrapes, *self._checks))
        raise Refused("404 Not Found", f"unknown path; there are {paths}")

    def find(self, head: Head) -> Answer:
        """Return the answer to a request whose path is known. An error is logged, and answered by its type alone."""
        try:
            answer = self._check(head.path) if head.path in self._checks else self._scrape(head)
        except Exception as exc:  # noqa: BLE001  (a check or a collector may fail in any way, and must be answered)
            if head.path not in self._failing:
                self._failing.add(head.path)
                _LOG.exception("%s fails", head.path)
            return Answer.text(UNAVAILABLE, f"{head.path} failed: {type(exc).__name__}; the log has more")
        self._failing.discard(head.path)
        return answer

    def _check(self, path: str) -> Answer:
        problem = self._checks[path]()
        return Answer.text(UNAVAILABLE, problem) if problem else Answer.text("200 OK", "ok")

    def _scrape(self, head: Head) -> Answer:
        started: list[tuple[str, list[tuple[str, str]]]] = []
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": head.path,
            "QUERY_STRING": head.query,
            "HTTP_ACCEPT": head.accept,
            "HTTP_ACCEPT_ENCODING": head.accept_encoding,
        }
        body = b"".join(self._scrapes[head.path](environ, lambda status, headers: started.append((status, headers))))
        ((status, headers),) = started
        return Answer(status, tuple(headers), body)
