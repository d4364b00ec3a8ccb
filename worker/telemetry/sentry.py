"""Keeps the queries of signed URLs out of what a user's sentry-sdk sends, unless it shall send the arguments of tasks.

Its options `data_collection` and `send_default_pii` say so. Without them, its integration for Celery sends no
arguments. But an event also has the local variables of each frame, the texts of exceptions, and the requests of
http.client with their queries (sentry-sdk 2.75, sentry_sdk/integrations/stdlib.py).
"""

from __future__ import annotations

import sys
from typing import Any

from producer.contract.urls import redact_queries

# Of a frame, of a breadcrumb and of a span.
_SECRET_KEYS = frozenset({"vars", "http.query", "http.fragment", "url.query", "url.fragment"})
_MAX_DEPTH = 20


def hide_queries() -> None:
    """Let sentry-sdk, if the user has imported it, send events and transactions without queries and local variables."""
    sdk: Any = sys.modules.get("sentry_sdk")
    if sdk is not None:
        sdk.get_global_scope().add_event_processor(
            lambda event, _: event if _sends_arguments(sdk) else without_queries(event)
        )


def without_queries(value: Any, depth: int = 0) -> Any:
    """Return a part of an event without queries of URLs and without local variables."""
    if isinstance(value, str):
        return redact_queries(value)
    if depth == _MAX_DEPTH:
        return "..."
    if isinstance(value, dict):
        return {key: without_queries(part, depth + 1) for key, part in value.items() if key not in _SECRET_KEYS}
    if isinstance(value, list | tuple):
        return [without_queries(part, depth + 1) for part in value]
    return value


def _sends_arguments(sdk: Any) -> bool:
    options = sdk.get_client().options
    # Versions that know `data_collection` derive it from the older option, if the user has set only that one.
    return bool((options.get("data_collection") or {}).get("queues", options.get("send_default_pii")))
