"""What is taken out of an event before sentry-sdk sends it. tests/worker/telemetry/test_tracing_page.py sends some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

from worker.telemetry.sentry import hide_queries, without_queries

if TYPE_CHECKING:
    from sentry_sdk.envelope import Envelope

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


class Kept(Transport):
    """Keeps the events instead of sending them."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.events.append(envelope.get_event())


@pytest.mark.parametrize(
    ("options", "is_whole"),
    [
        ({}, False),
        ({"data_collection": {"queues": False}}, False),
        ({"data_collection": {"queues": True}}, True),
        pytest.param({"send_default_pii": True}, True, marks=pytest.mark.filterwarnings("ignore:.*send_default_pii")),
    ],
)
def test_the_users_options_decide(options: dict[str, Any], is_whole: bool) -> None:
    kept = Kept()
    client = sentry_sdk.Client(dsn="http://key@127.0.0.1:1/1", transport=kept, default_integrations=False, **options)
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        hide_queries()
        url = f"https://e.test/a.jpg?{SECRET}"
        try:
            int(url)
        except ValueError:
            sentry_sdk.capture_exception()
    [event] = kept.events
    [frame] = event["exception"]["values"][0]["stacktrace"]["frames"]
    assert (SECRET in str(frame.get("vars"))) is is_whole
    assert (SECRET in event["exception"]["values"][0]["value"]) is is_whole
