"""How long a server asks to wait: the header Retry-After (RFC 9110, section 10.2.3)."""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The standard knows whole seconds only, but some servers send fractions. ASCII: Python reads other digits too.
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a response asks to wait, 0 for a time in the past; None if it asks for nothing clear.

    A date counts from the response's own Date, so that neither clock has to be right.
    """
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    date = _parse_date(value)
    if date is None:
        return None
    sent_at = _parse_date(headers.get("Date", ""))
    return max(0.0, date - (time.time() if sent_at is None else sent_at))


def _parse_date(value: str) -> float | None:
    """Return an HTTP date (RFC 9110, section 5.6.7), in any of its three forms, as seconds since the epoch."""
    try:
        date = parsedate_to_datetime(value)
        # The form of C's asctime has no zone; HTTP's dates are all UTC.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
