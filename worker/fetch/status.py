"""Decides by the status of a response whether its body is read, and when to try again."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from producer.contract.urls import redact_url
from worker.errors import HttpRefused, HttpUnavailable
from worker.fetch.retry_after import retry_after_s

if TYPE_CHECKING:
    import requests

_RETRYABLE_4XX = {408, 425, 429}


def check_status(response: requests.Response, url: str) -> None:
    """Check that the response has a body to read.

    Raises:
        HttpUnavailable, HttpRefused: See `worker.errors`.
    """
    status = response.status_code
    # The standard's reason phrase, because the server's can contain anything, of any length.
    message = f"{redact_url(url)} answered {status} {http.client.responses.get(status, '')}".rstrip()
    if status in _RETRYABLE_4XX or status >= 500:  # noqa: PLR2004
        raise HttpUnavailable(status, message, retry_after_s(response.headers))
    if not 200 <= status < 300:  # noqa: PLR2004
        raise HttpRefused(status, message)
