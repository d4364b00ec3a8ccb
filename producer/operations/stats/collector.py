"""The metrics of the whole queue. They are read from Redis at each scrape. It needs the extra `metrics`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge
from prometheus_client.registry import Collector

from producer.contract.errors import BrokerUnavailable
from producer.operations.stats.models import count_models
from producer.operations.stats.reading import QueueReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from producer.client.broker import Broker
    from producer.operations.stats.models import ModelWorkers
    from producer.operations.stats.reading import Reading

_LOG = logging.getLogger("clipqueue.telemetry")
PATH = "/metrics/queue"
# A scrape is answered within three seconds, also while Redis hangs. Only while no name server answers, it gets the
# telemetry server's own 503.
_WITHIN_S = 2.5
_MAX_REMEMBERED = 50  # models
_UP = (
    "clipqueue_redis_up",
    "1 if Redis answered this scrape, else 0. Then the other metrics of the queue are missing.",
)
_NUMBERS = {
    "waiting": ("clipqueue_queue_waiting", "Jobs that wait on the queue."),
    "in_flight": ("clipqueue_queue_in_flight", "Jobs that a worker has taken and not yet acked."),
    "delayed": ("clipqueue_queue_delayed", "Jobs that wait for their next attempt."),
    "parked": ("clipqueue_queue_parked", "Messages that are no valid jobs, which workers have put aside."),
    "oldest_age_s": (
        "clipqueue_queue_oldest_age_seconds",
        "Age of the oldest waiting job since it was enqueued; 0 if none waits. Missing if no message tells its time.",
    ),
    "overdue_s": (
        "clipqueue_queue_overdue_seconds",
        "How long the first delayed job has been due, without a worker that took it; 0 if none is due.",
    ),
    "memory_bytes": ("clipqueue_redis_memory_bytes", "Memory that Redis uses. Missing if Redis does not tell."),
    "max_memory_bytes": (
        "clipqueue_redis_max_memory_bytes",
        "Memory that Redis may use. Missing if Redis does not tell, or has no limit.",
    ),
}
_WORKERS = ("clipqueue_workers", "Live workers that consume images, by model.")
_QUERY_WORKERS = ("clipqueue_query_workers", "Live workers that answer queries, by model.")


def queue_registry(broker: Broker) -> CollectorRegistry:
    """Return a registry with the metrics of the whole queue, and nothing else.

    Several processes may serve them, but Prometheus must scrape only one, or it would count all jobs twice.
    """
    registry = CollectorRegistry()
    registry.register(_QueueCollector(QueueReader(broker, _WITHIN_S)))
    return registry


class _QueueCollector(Collector):
    """Reads the queue at each scrape."""

    def __init__(self, reader: QueueReader) -> None:
        self._reader = reader
        self._is_up = True
        # A model whose last worker has died is reported with 0, as otherwise its line would just end.
        self._models: dict[str, None] = {}

    def describe(self) -> Iterator[Gauge]:
        for name, text in (_UP, *_NUMBERS.values()):
            yield Gauge(name, text)
        for name, text in (_WORKERS, _QUERY_WORKERS):
            yield Gauge(name, text, labels=["model"])

    def collect(self) -> Iterator[Gauge]:
        try:
            reading = self._reader.read()
        except BrokerUnavailable as exc:
            if self._is_up:
                _LOG.warning("%s serves only clipqueue_redis_up 0: %s", PATH, exc)
            self._is_up = False
            yield Gauge(*_UP, 0)
            return
        self._is_up = True
        yield Gauge(*_UP, 1)
        yield from _numbers(reading)
        yield from self._workers(count_models(reading))

    def _workers(self, models: Iterable[ModelWorkers]) -> Iterator[Gauge]:
        counts = {model.model: (model.images, model.queries) for model in models}
        if len(self._models) < _MAX_REMEMBERED:
            self._models |= dict.fromkeys(counts)
        for number, (name, text) in enumerate((_WORKERS, _QUERY_WORKERS)):
            family = Gauge(name, text, labels=["model"])
            # Without any, one line with 0, so that an alert can tell it from a scrape that failed.
            for model in sorted({*self._models, *counts} or {""}):
                family.add_metric([model], counts.get(model, (0, 0))[number])
            yield family


def _numbers(reading: Reading) -> Iterator[Gauge]:
    for attribute, (name, text) in _NUMBERS.items():
        value = getattr(reading, attribute)
        if value is not None:
            yield Gauge(name, text, value)
