"""The metrics of `clipqueue notify`, and whether it is ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import generate_latest

from producer.contract.names import ENDED, NOTIFY_LOCK
from producer.webhooks.metrics import notify_registry
from tests.producer.webhooks.conftest import Notify, add_events
from tests.support.servers import Answer
from tests.support.telemetry import check_metrics
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from tests.support.receiver import WebhookReceiver


def test_each_attempt_is_counted_once(
    queue: redis.Redis, notify: Callable[..., Notify], receiver: WebhookReceiver
) -> None:
    """The first event is refused three times and then dropped, the second is sent after an outage of the receiver."""
    answers = [400, 400, 400, 503, 204]
    receiver.answer = lambda _: Answer(b"", answers.pop(0) if len(answers) > 1 else answers[0])
    add_events(queue, "one", "two")
    one = notify()
    wait_for(lambda: queue.xlen(ENDED) == 0, "the events")
    assert one.record.ended == {"delivered": 1, "retried": 3, "dropped": 1}
    exposition = generate_latest(notify_registry(one.record)).decode()
    assert 'clipqueue_webhooks_total{outcome="retried"} 3.0' in exposition
    assert 'clipqueue_build_info{part="notify",' in exposition
    assert check_metrics(exposition) == ""


def test_it_is_ready_while_redis_and_the_receiver_answer(
    queue: redis.Redis, notify: Callable[..., Notify], receiver: WebhookReceiver
) -> None:
    receiver.answer = lambda _: Answer(b"", 503)
    add_events(queue, "one")
    one = notify()
    wait_for(lambda: one.record.movement.ready().endswith("503 Service Unavailable"), "the receiver to be away")
    assert receiver.hook not in one.record.movement.ready(), "the path may be a secret"
    assert one.record.movement.live() == ""
    receiver.answer = lambda _: Answer(b"", 204)
    wait_for(lambda: one.record.movement.ready() == "", "the receiver to answer")
    one.stop()
    queue.set(NOTIFY_LOCK, "another")
    spare = notify()
    assert spare.record.movement.ready() in {"", "Redis has not answered yet"}
    wait_for(lambda: spare.record.movement.ready() == "", "the spare")


def test_it_is_not_ready_without_redis(notify: Callable[..., Notify], receiver: WebhookReceiver) -> None:
    one = Notify("redis://:secret@127.0.0.1:1", receiver.hook)
    wait_for(lambda: "connection was refused" in one.record.movement.ready(), "the outage")
    assert "secret" not in one.record.movement.ready()
    one.stop()
