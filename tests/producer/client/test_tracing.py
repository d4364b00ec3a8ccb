"""The trace in a job's message: the one that the caller gives, or the one in which it enqueues."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider

from producer import AsyncEmbeddingClient, EmbeddingClient, InvalidJob

if TYPE_CHECKING:
    import redis

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
URL = "https://host/a.jpg"
NAMES = ("traceparent", "tracestate", "sentry-trace", "baggage")
# Both libraries at once, in a process of its own, since Sentry changes the standard library for good.
BOTH = """
import sys
import sentry_sdk
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import TracerProvider
from producer import EmbeddingClient

sentry_sdk.init(traces_sample_rate=1.0, default_integrations=False)
context.attach(baggage.set_baggage("user", "7"))
with EmbeddingClient(sys.argv[1]) as client, sentry_sdk.start_transaction(name="upload") as transaction:
    with TracerProvider().get_tracer("backend").start_as_current_span("upload"):
        client.enqueue("both", "https://host/a.jpg")
    client.enqueue("sentry", "https://host/a.jpg")
    sentry_sdk.get_traceparent = sentry_sdk.is_initialized = lambda: 1 / 0
    client.enqueue("broken", "https://host/a.jpg")
    print(transaction.to_traceparent())
"""


def queued_traces(queue: redis.Redis) -> list[dict[str, str]]:
    messages: Any = queue.lrange("images", 0, -1)
    headers = [json.loads(message)["headers"] for message in reversed(messages)]
    return [{name: one[name] for name in NAMES if name in one} for one in headers]


def test_the_caller_gives_a_trace(queue: redis.Redis, redis_url: str) -> None:
    given = {"traceparent": PARENT, "baggage": "a=b", "x-b3-traceid": "1"}
    with EmbeddingClient(redis_url) as client:
        client.enqueue("a", URL, trace=given)
        client.enqueue_many([("b", URL), ("c", URL)], trace=given)
        client.enqueue("d", URL)
        with pytest.raises(InvalidJob, match="trace: traceparent is not valid"):
            client.enqueue("e", URL, trace={"traceparent": f"{PARENT}0"})
    assert queued_traces(queue) == [{"traceparent": PARENT, "baggage": "a=b"}] * 3 + [{}]


def test_opentelemetrys_current_span_is_taken_unless_the_caller_gives_another(
    queue: redis.Redis, redis_url: str
) -> None:
    """Also by the client for event loops, whose call runs in a thread."""

    async def enqueue() -> None:
        async with AsyncEmbeddingClient(redis_url) as client:
            await client.enqueue("b", URL)

    token = context.attach(baggage.set_baggage("user", "7"))
    with EmbeddingClient(redis_url) as client:
        client.enqueue("outside of any span", URL)
        with TracerProvider().get_tracer("backend").start_as_current_span("upload") as span:
            client.enqueue("a", URL)
            asyncio.run(enqueue())
            client.enqueue("c", URL, trace={"traceparent": PARENT})
            client.enqueue("d", URL, trace={})
    context.detach(token)
    ours = span.get_span_context()
    current = {
        "traceparent": f"00-{ours.trace_id:032x}-{ours.span_id:016x}-{ours.trace_flags:02x}",
        "baggage": "user=7",
    }
    assert queued_traces(queue) == [{}, current, current, {"traceparent": PARENT}, {}]


def test_what_no_message_may_have_is_left_out(queue: redis.Redis, redis_url: str) -> None:
    token = context.attach(baggage.set_baggage("large", "x" * 3000))
    with EmbeddingClient(redis_url) as client, trace.use_span(TracerProvider().get_tracer("backend").start_span("a")):
        client.enqueue("a", URL)
    context.detach(token)
    assert [list(headers) for headers in queued_traces(queue)] == [["traceparent"]]


def test_sentrys_trace_is_taken_and_none_of_its_errors_reaches_the_caller(queue: redis.Redis, redis_url: str) -> None:
    env = {**os.environ, "SENTRY_DSN": "http://key@127.0.0.1:1/1"}
    command = [sys.executable, "-c", BOTH, redis_url]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    both, sentry, broken = queued_traces(queue)
    assert both["sentry-trace"] == sentry["sentry-trace"] == done.stdout.strip()
    assert both["baggage"] == f"user=7,{sentry['baggage']}"
    assert "sentry-public_key=key" in sentry["baggage"]
    assert both.keys() == {"traceparent", "sentry-trace", "baggage"}
    assert broken == {}


def test_without_either_library_nothing_of_it_is_imported(redis_url: str) -> None:
    """redis-py imports OpenTelemetry itself where it is installed, so here it is not."""
    script = (
        "import sys; sys.modules.update(dict.fromkeys(('opentelemetry', 'sentry_sdk')));"
        f"from producer import EmbeddingClient; EmbeddingClient({redis_url!r}).enqueue('a', {URL!r});"
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry.', 'sentry_sdk.'))]"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
