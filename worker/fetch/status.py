"""Decides by the status of a response whether its body is read, and when to try again."""

from __future__ import annotations

import http.client
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from producer.contract.urls import redact_url
from worker.errors import HttpRefused, HttpUnavailable
from worker.fetch.retry_after import retry_after_s

if TYPE_CHECKING:
    import requests

_RETRYABLE_4XX = {408, 425, 429}
_CONTENT_RANGE = re.compile(r"\s*bytes\s+(\d{1,20})-(\d{1,20})/(\d{1,20}|\*)\s*$", re.ASCII | re.IGNORECASE)


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
    if status == HTTPStatus.PARTIAL_CONTENT and _is_part(response.headers.get("Content-Range", "")):
        raise HttpRefused(status, f"{message}, a part of the body that was not asked for")


def _is_part(content_range: str) -> bool:
    """Return whether a Content-Range header (RFC 9110, section 14.4) states less than the whole body."""
    if (found := _CONTENT_RANGE.match(content_range)) is None:
        return False  # Chromium shows the image too
    first, last, length = found.groups()
    return int(first) != 0 or (length != "*" and int(last) + 1 != int(length))
