"""The headers of a trace stay with a job on its way: from either place of a message, over requeues and retries."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from celery.app.task import Context

from producer.contract.job import ImageJob
from tests.support.commands import invoke
from tests.support.messages import hand_made_message
from tests.support.parked import park
from worker.broker.deliveries import ConsumerState
from worker.broker.retries import retry_message
from worker.broker.taking import take
from worker.broker.validation import validate_message
from worker.errors import DecodeTimeout

if TYPE_CHECKING:
    import redis

TRACE = {
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "tracestate": "vendor=1",
    "sentry-trace": "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
    "baggage": "sentry-release=1,user=2",
}
JOB = {"image_id": "photo", "url": "https://host/a.jpg"}


@pytest.mark.parametrize("headers", [TRACE, {"headers": TRACE}, {**TRACE, "headers": {"traceparent": "x"}}])
def test_a_trace_is_read_from_both_places_and_written_to_both(headers: dict[str, Any]) -> None:
    """OpenTelemetry's instrumentation reads the one and Sentry's the other."""
    taken = validate_message(hand_made_message(JOB, headers={**headers, "other": "x"}).encode())["headers"]
    assert taken.items() >= TRACE.items()
    assert taken["headers"] == TRACE
    assert "other" not in taken


def test_a_wrong_trace_is_no_error_of_the_job() -> None:
    wrong = {"traceparent": "x", "tracestate": 5, "baggage": ["a"], "sentry-trace": None, "headers": [{}]}
    assert validate_message(hand_made_message(JOB, headers=wrong).encode()).keys() >= {"body", "headers"}
    taken = validate_message(hand_made_message(JOB, headers=wrong).encode())["headers"]
    assert not taken.keys() & {*TRACE, "headers"}


def test_the_message_of_a_retry_has_the_trace() -> None:
    taken = validate_message(hand_made_message(JOB, headers=TRACE).encode())
    request: Any = Context(taken["headers"])
    kwargs = json.loads(base64.b64decode(taken["body"]))[1]
    message = retry_message(ImageJob.from_kwargs(kwargs, request.id, TRACE), request, DecodeTimeout())
    assert validate_message(message)["headers"].items() >= {**TRACE, "retries": 1}.items()


def test_a_requeued_message_has_its_trace(queue: redis.Redis) -> None:
    """As after a drain and after a worker's death: the item of the queue goes back as it came."""
    consumption = ConsumerState()
    queue.lpush("images", hand_made_message(JOB, headers=TRACE))
    for _ in range(2):
        [message], _ = take(queue, consumption, 1)
        assert message["headers"].items() >= TRACE.items()
        consumption.deliveries.defer_requeue(consumption.deliveries.tags)
        consumption.deliveries.flush(queue)


def test_a_delayed_message_of_an_earlier_version_has_its_trace(queue: redis.Redis) -> None:
    """Its ETA is what made it wait, so this worker writes it anew."""
    consumption = ConsumerState()
    eta = datetime.fromtimestamp(queue.time()[0] + 60, UTC).isoformat()
    queue.lpush("images", hand_made_message(JOB, headers={**TRACE, "retries": 1, "eta": eta}))
    assert take(queue, consumption, 1)[0] == []
    consumption.deliveries.flush(queue)
    members: Any = queue.zrange("clipqueue:delayed", 0, -1)
    [delayed] = members
    assert validate_message(delayed)["headers"].items() >= TRACE.items()


def test_a_parked_message_keeps_its_trace(queue: redis.Redis, redis_url: str) -> None:
    message = hand_made_message(JOB, headers=TRACE)
    park(queue, message.encode())
    assert invoke("parked", "requeue", "--all", REDIS_URL=redis_url).returncode == 0
    assert queue.lrange("images", 0, -1) == [message.encode()]
