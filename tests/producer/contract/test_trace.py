"""Which headers of a trace are valid, and that they never make a message too long."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producer.contract.errors import InvalidJob
from producer.contract.job import ImageJob
from producer.contract.message import image_message
from producer.contract.trace import MAX_BAGGAGE_CHARS, checked_trace, read_trace, trace_id_of
from worker.broker.validation import MAX_MESSAGE_BYTES, validate_message

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
SENTRY = f"{TRACE_ID}-{SPAN_ID}-1"
STATE = ",".join(f"k{number}=v" for number in range(32))
VALID = [
    ("traceparent", PARENT),
    ("traceparent", PARENT[:-2] + "ff"),
    ("traceparent", f"01{PARENT[2:]}"),
    ("traceparent", f"fe{PARENT[2:]}-what-a-later-version-adds"),
    ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
    ("tracestate", "0@a/b*_-=a value of !~ \t, , b=c"),
    ("tracestate", STATE),
    ("sentry-trace", SENTRY),
    ("sentry-trace", SENTRY[:-2]),
    ("baggage", "userId=alice,serverNode=DF%2028 , isProduction = false ; p1 ; p2 = x"),
    ("baggage", "sentry-trace_id=1,sentry-public_key=2"),
    ("baggage", "k=" + "v" * (MAX_BAGGAGE_CHARS - 2)),
]
INVALID = [
    ("traceparent", PARENT.upper()),
    ("traceparent", f"ff{PARENT[2:]}"),
    ("traceparent", f"{PARENT}-00"),
    ("traceparent", f"00-{'0' * 32}-{SPAN_ID}-01"),
    ("traceparent", f"00-{TRACE_ID}-{'0' * 16}-01"),
    ("traceparent", f"{PARENT}\n"),
    ("traceparent", PARENT[:-1]),
    ("traceparent", f"01{PARENT[2:]}-{'x' * 200}"),
    ("traceparent", PARENT.replace("4", "\u0664")),
    ("traceparent", ""),
    ("tracestate", "A=b"),
    ("tracestate", "a=\u00e9"),
    ("tracestate", "a=b=c"),
    ("tracestate", "a"),
    ("tracestate", f"{STATE},k32=v"),
    ("tracestate", "a=" + "b" * 511),
    ("sentry-trace", f"{SENTRY}1"),
    ("sentry-trace", f"{'0' * 32}-{SPAN_ID}"),
    ("sentry-trace", TRACE_ID),
    ("baggage", "a"),
    ("baggage", 'a="b"'),
    ("baggage", "a=b,,c=d"),
    ("baggage", "a=b;c=\u00e9"),
    ("baggage", "k=" + "v" * (MAX_BAGGAGE_CHARS - 1)),
    # One pattern for the whole header would take exponential time on this.
    ("baggage", "a=" + ";a =  " * 300 + '"'),
]
NO_TEXTS: list[tuple[str, Any]] = [("traceparent", 5), ("tracestate", []), ("sentry-trace", {}), ("baggage", b"a=b")]


@pytest.mark.parametrize(("name", "value"), VALID)
def test_valid_headers_are_kept_as_they_are(name: str, value: str) -> None:
    given = {"traceparent": PARENT, name: value, "other": "x"}
    expected = {"traceparent": PARENT, name: value}
    assert read_trace(given) == checked_trace(given) == expected


@pytest.mark.parametrize(("name", "value"), [*INVALID, *NO_TEXTS])
def test_others_are_dropped_from_a_message_and_refused_from_a_caller(name: str, value: Any) -> None:
    given = {"sentry-trace": SENTRY, name: value}
    assert read_trace(given) == {key: text for key, text in {"sentry-trace": SENTRY}.items() if key != name}
    with pytest.raises(InvalidJob, match=f"trace: {name} is not valid"):
        checked_trace(given)


def test_a_tracestate_alone_means_nothing() -> None:
    assert read_trace({"tracestate": "a=b"}) == read_trace({"tracestate": "a=b", "traceparent": "x"}) == {}


def test_two_places_are_not_mixed() -> None:
    other = {"sentry-trace": SENTRY.replace("4", "5"), "baggage": "a=b"}
    assert read_trace({"sentry-trace": SENTRY}, other) == {"sentry-trace": SENTRY}
    assert read_trace({"sentry-trace": "x"}, other) == other
    assert read_trace(None, [], "headers", {}) == {}


def test_the_id_of_a_trace() -> None:
    other = SENTRY.replace("4", "5")
    assert trace_id_of({"traceparent": PARENT, "sentry-trace": other}) == TRACE_ID
    assert trace_id_of({"sentry-trace": other}) == other[:32]
    assert trace_id_of({"baggage": "a=b"}) is None


def test_the_longest_message_with_the_longest_trace_is_accepted() -> None:
    """In JSON, each character beyond the BMP has twelve bytes; in a tracestate, each quotation mark has two."""
    trace = {
        "traceparent": f"01{PARENT[2:]}-{'x' * 99}",
        "tracestate": ",".join(["a=" + '"' * 250, "b=" + '"' * 250]),
        "sentry-trace": SENTRY,
        "baggage": "k=" + "v" * (MAX_BAGGAGE_CHARS - 2),
    }
    job = ImageJob.new("\U0001f600" * 1024, "https://h/" + "\U0001f600" * 8182, trace=checked_trace(trace))
    message = image_message(job, "t" * 255)
    assert 200_000 < len(message) < MAX_MESSAGE_BYTES
    headers = validate_message(message)["headers"]
    assert headers.items() >= trace.items()
    assert headers["headers"] == trace
    assert len(json.dumps(validate_message(message))) < MAX_MESSAGE_BYTES, "so it is while it is delayed"
