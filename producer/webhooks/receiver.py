"""Sends a webhook to the receiver, once, and says what became of it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from http.client import HTTPException, responses
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from producer.contract.errors import ConfigurationError
from producer.webhooks.message import headers
from producer.webhooks.session import TimedSession
from producer.webhooks.settings import URL

if TYPE_CHECKING:
    from collections.abc import Callable

    from producer.webhooks.message import Webhook
    from producer.webhooks.session import Attempt
    from producer.webhooks.settings import WebhookSettings

TIMEOUT_S = 15.0
# More of an answer is not read, and its connection is not used again.
_MAX_ANSWER_BYTES = 65_536
# These say that something is wrong with this event. A wrong secret or path (401, 403, 404) would refuse every event.
_REFUSED = frozenset({400, 409, 413, 415, 422})


class Fate(Enum):
    """What became of an attempt."""

    DELIVERED = "the receiver has the event"
    AWAY = "the receiver cannot take any event now"
    REFUSED = "the receiver does not take this event"
    GONE = "the receiver wants no event any more"


@dataclass(frozen=True)
class Answer:
    """What the receiver answered.

    Attributes:
        fate: What became of the attempt.
        reason: Why, for the log: it contains neither the URL nor a secret.
        retry_after_s: How long the receiver asks to wait; 0 if it does not.
    """

    fate: Fate
    reason: str
    retry_after_s: float = 0.0


class Receiver:
    """The operator's URL. Keeps its connection between two webhooks. Not thread-safe.

    Args:
        settings: The URL and the secrets.
        clock: Seconds since the epoch.
        timeout_s: Seconds for an attempt, and to connect to each address of the host.

    Attributes:
        shown: What messages call the receiver: scheme and host alone, because the path may be a secret.

    Raises:
        ConfigurationError: No request can be made from the URL.
    """

    def __init__(
        self, settings: WebhookSettings, clock: Callable[[], float] = time.time, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._timeout_s = timeout_s
        self._session = TimedSession()
        parts = urlsplit(settings.url)
        self.shown = f"{parts.scheme}://{parts.netloc}"
        try:
            requests.Request("POST", settings.url).prepare()
        except (requests.RequestException, ValueError):
            raise ConfigurationError(f"{URL}: no request can be made from it") from None

    def send(self, webhook: Webhook) -> Answer:
        """Try once to deliver a webhook."""
        with self._session.limit(self._timeout_s) as attempt:
            answer = self._send(webhook, attempt)
        return answer or Answer(Fate.AWAY, f"it did not answer within {self._timeout_s:g} s")

    def _send(self, webhook: Webhook, attempt: Attempt) -> Answer | None:
        """Return the answer; None if it came too late."""
        sent = headers(webhook, self._settings.secrets, self._clock())
        try:
            with self._session.post(
                self._settings.url,
                data=webhook.body,
                headers=sent,
                timeout=self._timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                if attempt.is_over:  # a head that was cut off counts as a whole one
                    return None
                answer = _judge(response, self._clock())
                _read_rest(response)
                return answer
        except requests.Timeout:
            return None
        except (requests.RequestException, OSError, ValueError) as exc:
            return None if attempt.is_over else Answer(Fate.AWAY, _innermost(exc))

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def _read_rest(response: requests.Response) -> None:
    """Read the body, because a connection whose answer was not read cannot be used again."""
    left = _MAX_ANSWER_BYTES
    with suppress(HTTPError, HTTPException, OSError):  # the status has said enough
        while left > 0 and (part := response.raw.read1(left)):
            left -= len(part)


def _judge(response: requests.Response, now_s: float) -> Answer:
    status = response.status_code
    reason = f"it answered {status} {responses.get(status, '')}".rstrip()
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Answer(Fate.DELIVERED, reason)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return Answer(Fate.AWAY, f"{reason}, and redirects are not followed: set {URL} to the last URL")
    if status == HTTPStatus.GONE:
        return Answer(Fate.GONE, reason)
    if status in _REFUSED:
        return Answer(Fate.REFUSED, reason)
    return Answer(Fate.AWAY, reason, _retry_after_s(response.headers.get("Retry-After", ""), now_s))


def _retry_after_s(header: str, now_s: float) -> float:
    """Read a number of seconds or a date; 0 if it is neither."""
    if header.isascii() and header.isdigit():
        return float(header[:9])
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_s)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _innermost(exc: BaseException) -> str:
    """Name the cause. The text of the outer errors contains the URL."""
    while cause := exc.__cause__ or exc.__context__:
        exc = cause
    text = exc.strerror if isinstance(exc, OSError) else None
    return f"{text or 'the connection failed'} ({type(exc).__name__})"
