"""The metrics of `clipqueue sweep --every`. They need the extra `metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from producer.telemetry.process import process_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry, Metric

    from producer.operations.requeue.sweep_record import SweepRecord


def sweep_registry(record: SweepRecord) -> CollectorRegistry:
    """Return the metrics of a process that sweeps."""
    registry = process_registry("sweep")
    registry.register(_SweepCollector(record))
    return registry


class _SweepCollector(Collector):
    """Reads a record at each scrape."""

    def __init__(self, record: SweepRecord) -> None:
        self._record = record

    def collect(self) -> Iterator[Metric]:
        sweeps = CounterMetricFamily(
            "clipqueue_sweeps", "Sweeps by outcome: done, failed, or locked by another sweep.", labels=["outcome"]
        )
        for outcome, count in self._record.ended.items():
            sweeps.add_metric([outcome], count)
        yield sweeps
        yield CounterMetricFamily(
            "clipqueue_sweep_requeued", "Lost or adopted jobs that sweeps have enqueued.", self._record.requeued
        )
        yield GaugeMetricFamily(
            "clipqueue_sweep_last_success_timestamp_seconds",
            "When the last sweep succeeded; 0 if none has since this process started.",
            self._record.last_success_s,
        )
