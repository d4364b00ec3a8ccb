"""`clipqueue notify`: sends webhooks until it is stopped."""

from __future__ import annotations

import logging
import signal
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from producer.cli.output import fail_service, fail_without_extra
from producer.client.broker import Broker
from producer.client.environment import redis_url_from_env
from producer.client.stop import Stop
from producer.contract.errors import ClipqueueError
from producer.telemetry.logs import start_log
from producer.telemetry.serving import serving
from producer.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry

    from producer.webhooks.notifier import Notifier

_LOG = logging.getLogger("clipqueue.notify")

# How long one command waits for an event on Redis.
_WAIT_S = 10.0


@click.command()
def notify() -> None:
    """Send a webhook for each job that has ended, until SIGTERM or Ctrl-C.

    Reads REDIS_URL, CLIPQUEUE_WEBHOOK_URL, which the workers need too, and CLIPQUEUE_WEBHOOK_SECRET. If several run,
    one sends and the others are its spares. The exit code is 1 if the receiver wants no more webhooks (410). With
    CLIPQUEUE_METRICS_PORT, it serves metrics and its health over HTTP.
    """
    try:
        from producer.webhooks.notifier import Notifier  # noqa: PLC0415  (needs requests)
        from producer.webhooks.receiver import Receiver  # noqa: PLC0415
        from producer.webhooks.settings import WebhookSettings  # noqa: PLC0415
        from producer.webhooks.stream import EventStream  # noqa: PLC0415
    except ImportError:
        fail_without_extra("clipqueue notify", "webhooks")
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop.on_signal)
    try:
        with (
            closing(Receiver(WebhookSettings.from_env())) as receiver,
            closing(Broker(redis_url_from_env(), 2 * _WAIT_S)) as broker,
        ):
            start_log({_LOG.name: logging.INFO})
            stream = EventStream(broker, _WAIT_S)
            notifier = Notifier(stream, receiver, stop, lambda level, line: _LOG.log(level, "%s", line))
            with _serving(notifier):
                notifier.run()
    except ClipqueueError as exc:
        fail_service(str(exc))


@contextmanager
def _serving(notifier: Notifier) -> Iterator[None]:
    """Serve the metrics of the webhooks, and the health, for a block."""
    record = notifier.record

    def registries() -> dict[str, CollectorRegistry]:
        from producer.webhooks.metrics import notify_registry  # noqa: PLC0415  (needs the extra)

        return {"/metrics": notify_registry(record)}

    with serving(TelemetrySettings.from_env(), registries, record.movement.live, record.movement.ready):
        yield
