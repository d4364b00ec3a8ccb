"""The metrics of `clipqueue notify`. They need the extra `metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from producer.telemetry.process import process_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry, Metric

    from producer.webhooks.record import NotifyRecord


def notify_registry(record: NotifyRecord) -> CollectorRegistry:
    """Return the metrics of a process that sends webhooks."""
    registry = process_registry("notify")
    registry.register(_WebhookCollector(record))
    return registry


class _WebhookCollector(Collector):
    """Reads a record at each scrape."""

    def __init__(self, record: NotifyRecord) -> None:
        self._record = record

    def collect(self) -> Iterator[Metric]:
        webhooks = CounterMetricFamily(
            "clipqueue_webhooks",
            "Webhooks by outcome: delivered, retried (to be sent again later), or dropped.",
            labels=["outcome"],
        )
        for outcome, count in self._record.ended.items():
            webhooks.add_metric([outcome], count)
        yield webhooks
