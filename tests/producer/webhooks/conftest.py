"""Fixtures: a receiver, and `clipqueue notify` as a thread of this process."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from producer.client.broker import Broker
from producer.client.stop import Stop
from producer.contract.names import ENDED
from producer.webhooks.notifier import Delays, Notifier
from producer.webhooks.receiver import Receiver
from producer.webhooks.settings import WebhookSettings, parse_secrets
from producer.webhooks.stream import EventStream
from tests.support.receiver import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
QUICK = Delays(away_s=(0.01, 0.02), refused_s=(0.01, 0.02), redis_s=0.05, spare_s=0.05, renew_s=0.05)


class Notify:
    """A notifier in a thread, and the lines that it has printed."""

    def __init__(self, redis_url: str, hook: str, delays: Delays = QUICK, timeout_s: float = 5.0) -> None:
        self.lines: list[str] = []
        self.error: BaseException | None = None
        self.broker = Broker(redis_url)
        self._stop = Stop()
        self._receiver = Receiver(WebhookSettings(hook, parse_secrets(SECRET)), timeout_s=timeout_s)
        stream = EventStream(self.broker, 0.1)
        self._notifier = Notifier(stream, self._receiver, self._stop, lambda _, line: self.lines.append(line), delays)
        self.record = self._notifier.record
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.request()
        self.wait()

    def wait(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def _run(self) -> None:
        with closing(self._receiver), closing(self.broker):
            try:
                self._notifier.run()
            except Exception as exc:  # noqa: BLE001  (the test reads it)
                self.error = exc


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with closing(WebhookReceiver()) as receiver:
        yield receiver


@pytest.fixture
def notify(redis_url: str, receiver: WebhookReceiver) -> Iterator[Callable[..., Notify]]:
    """A function that starts a notifier on the Redis database without a worker; all end after the test."""
    started: list[Notify] = []

    def start(**options: Any) -> Notify:
        started.append(Notify(redis_url, options.pop("hook", receiver.hook), **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def add_events(queue: redis.Redis, *names: str) -> None:
    """Add an event for each name: the id of the image and of the task."""
    for name in names:
        event = {
            "task_id": f"task-{name}",
            "image_id": name,
            "status": "done",
            "model": "m",
            "ended_at": 1_795_000_000_123,
        }
        queue.xadd(ENDED, {"event": json.dumps(event)})
