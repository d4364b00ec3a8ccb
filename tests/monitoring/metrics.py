"""All metrics that clipqueue has, from its code, without a worker, a queue or a server."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.api.metrics import ApiMetrics
from producer.client.broker import Broker
from producer.operations.requeue.sweep_metrics import sweep_registry
from producer.operations.requeue.sweep_record import SweepRecord
from producer.operations.stats.collector import queue_registry
from producer.webhooks.metrics import notify_registry
from producer.webhooks.record import NotifyRecord
from worker.telemetry.figures import Figures
from worker.telemetry.metrics import WorkerMetrics
from worker.telemetry.readings import Readings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import CollectorRegistry, Metric

_SUFFIXES = {"counter": "_total", "info": "_info"}
_NOBODY = "redis://127.0.0.1:1/0"


@dataclass(frozen=True)
class Described:
    """A metric as its code describes it.

    Attributes:
        name: The name that PromQL uses; that of a histogram has no suffix.
        kind: `counter`, `gauge`, `histogram` or `info`.
        labels: The names of its labels.
        text: What it counts.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str

    def series(self) -> set[str]:
        """Return the names of its series."""
        return {self.name + part for part in ("_bucket", "_sum", "_count")} if self.kind == "histogram" else {self.name}


def described() -> dict[str, list[Described]]:
    """Return the metrics by who serves them."""
    return {
        "Workers": list(_describe(_of_a_worker())),
        "The queue": list(_describe(_of_the_queue())),
        "The API": list(_describe(_of_the_api())),
        "The sweep": list(_describe(_own(sweep_registry(SweepRecord())))),
        "Webhooks": list(_describe(_own(notify_registry(NotifyRecord())))),
        "Every process": list(_describe(_of_a_process())),
    }


def _of_a_worker() -> Iterable[Metric]:
    figures = Figures()
    # They have labels only once there is one.
    figures.failures["http_404", "fetch"] = figures.retries["http_503", "fetch"] = 1
    readings = Readings(lambda: 0, lambda: 0, tuple, lambda: 0, lambda: False)
    facts: Any = {"version": "", "model": "", "device": "", "precision": "", "concurrency": 1}
    return WorkerMetrics(figures, readings, facts).collect()


def _of_the_queue() -> Iterator[Metric]:
    with closing(Broker(_NOBODY)) as broker:
        for collector in queue_registry(broker)._collector_to_names:
            yield from collector.describe()  # type: ignore[attr-defined]


def _of_the_api() -> Iterator[Metric]:
    metrics = ApiMetrics(["/healthz"])
    metrics.observe("GET", "/healthz", 200, 0.001)
    return _own(metrics.registry)


def _own(registry: CollectorRegistry) -> Iterator[Metric]:
    return (metric for metric in registry.collect() if not _is_of_any_process(metric))


def _of_a_process() -> Iterator[Metric]:
    return (metric for metric in sweep_registry(SweepRecord()).collect() if _is_of_any_process(metric))


def _is_of_any_process(metric: Metric) -> bool:
    return metric.name.startswith("process_") or metric.name == "clipqueue_build"


def _describe(metrics: Iterable[Metric]) -> Iterator[Described]:
    for metric in metrics:
        labels = dict.fromkeys(getattr(metric, "_labelnames", ()))
        for sample in metric.samples:
            labels |= dict.fromkeys(name for name in sample.labels if name != "le")
        name = metric.name + _SUFFIXES.get(metric.type, "")
        yield Described(name, metric.type, tuple(labels), metric.documentation)
