"""What is taken out of an event before sentry-sdk sends it. tests/worker/telemetry/test_tracing_page.py sends some."""

from __future__ import annotations

from typing import Any

import pytest

from worker.telemetry.sentry import without_queries

SECRET = "X-Amz-Signature=01"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (f"GET https://e.test/a.jpg?{SECRET} failed", "GET https://e.test/a.jpg failed"),
        (
            f"Retries exceeded with url: /a.jpg?{SECRET} (Caused by",
            "Retries exceeded with url: /a.jpg (Caused by",
        ),
        ("why? because a=b", "why? because a=b"),
        (f"a ? b?c?{SECRET}", "a ? b?c"),
    ],
)
def test_texts_lose_the_queries_of_urls(text: str, sent: str) -> None:
    event = {"logentry": {"message": text, "params": [text, 7]}, "exception": {"values": [{"value": text}]}}
    assert without_queries(event) == {
        "logentry": {"message": sent, "params": [sent, 7]},
        "exception": {"values": [{"value": sent}]},
    }


def test_local_variables_and_queries_of_requests_are_left_out() -> None:
    event = {
        "exception": {"values": [{"stacktrace": {"frames": [{"function": "fetch", "vars": {"url": SECRET}}]}}]},
        "breadcrumbs": {"values": ({"data": {"url": "https://e.test/a", "http.query": SECRET, "http.fragment": "x"}},)},
    }
    assert without_queries(event) == {
        "exception": {"values": [{"stacktrace": {"frames": [{"function": "fetch"}]}}]},
        "breadcrumbs": {"values": [{"data": {"url": "https://e.test/a"}}]},
    }


def test_an_event_that_contains_itself_ends() -> None:
    event: dict[str, Any] = {"extra": {}}
    event["extra"]["event"] = event
    assert "..." in str(without_queries(event))
