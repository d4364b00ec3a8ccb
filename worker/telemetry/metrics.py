"""The metrics of a worker: their names, and what each counts. docs/monitoring.md explains them to operators."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from producer.contract.fields import WorkerHeartbeat
    from worker.telemetry.figures import Figures, Histogram
    from worker.telemetry.readings import Readings


_FACTS = ("version", "model", "device", "precision")


class WorkerMetrics(Collector):
    """Reads the figures at each scrape.

    Args:
        figures: What the process has done.
        readings: How it is now.
        facts: What does not change while it runs.
    """

    def __init__(self, figures: Figures, readings: Readings, facts: WorkerHeartbeat) -> None:
        self._figures = figures
        self._readings = readings
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics. prometheus_client calls this."""
        with self._figures.lock:
            counted = [*self._of_jobs(), *self._of_stages(), *self._of_queries()]
        yield from counted
        yield from self._of_now()

    def _of_jobs(self) -> Iterator[Metric]:
        figures, of_error = self._figures, ("code", "stage")
        yield _counter("jobs", "Attempts of jobs that ended, by how.", ("outcome",), _by_one(figures.outcomes))
        failures, retries = figures.failures.items(), figures.retries.items()
        yield _counter("job_failures", "Jobs that failed for good, by error and stage.", of_error, failures)
        yield _counter("job_retries", "Attempts that failed and are followed by another.", of_error, retries)
        requeues = _by_one(figures.requeues)
        yield _counter("job_requeues", "Attempts that went back to the queue, by reason.", ("reason",), requeues)
        yield _histogram("queue_wait_seconds", "From a job's enqueue to its first attempt.", figures.queue_wait)
        yield _histogram("job_duration_seconds", "From a job's enqueue to its vector.", figures.latency)

    def _of_stages(self) -> Iterator[Metric]:
        figures = self._figures
        for stage, times in figures.stages.items():
            yield _histogram(f"{stage}_duration_seconds", f"Duration of the stage {stage} of one attempt.", times)
        yield _histogram("batch_size", "Images of each forward pass.", figures.batch_sizes)
        yield _total("model_busy_seconds", "Duration of all forward passes with images.", figures.model_busy_s)
        yield _total("fetched_bytes", "Bytes of downloaded bodies.", figures.fetched_bytes)

    def _of_queries(self) -> Iterator[Metric]:
        figures, labels = self._figures, ("kind", "outcome")
        yield _counter("queries", "Queries that ended, by how.", labels, figures.queries.items())
        durations = HistogramMetricFamily(
            "clipqueue_query_duration_seconds", "From the taking of a query to its end.", labels=("kind",)
        )
        for kind, times in figures.query_durations.items():
            durations.add_metric((kind,), _buckets(times), times.sum)
        yield durations

    def _of_now(self) -> Iterator[Metric]:
        readings, facts = self._readings, self._facts
        concurrency = facts["concurrency"] if facts.get("images", True) else 0
        yield _gauge("jobs_in_flight", "Jobs that run now.", readings.in_flight())
        yield _gauge("concurrency", "The most jobs that may run at once.", concurrency)
        yield _gauge("model_threads", "The most forward passes that may run at once.", facts.get("model_threads", 1))
        yield _total("redeliveries", "Messages of lost workers that this process requeued.", readings.redelivered())
        yield _gauge("decode_processes", "Decoding processes that run.", len(readings.decode_pids()))
        lost = readings.decode_lost()
        yield _total("decode_processes_lost", "Decoding processes that ended, or were ended, at work.", lost)
        yield _gauge("store_away", "Whether MongoDB is unavailable.", readings.is_store_away())
        yield _counter("cpu_seconds", "Processor time, by part.", ("part",), _by_one(readings.cpu_s()))
        worker = GaugeMetricFamily("clipqueue_worker_info", "What this worker runs; always 1.", labels=_FACTS)
        worker.add_metric([facts["version"], facts["model"], facts["device"], facts["precision"]], 1)
        yield worker


def _by_one(counts: Mapping[str, float]) -> list[tuple[tuple[str], float]]:
    return [((value,), count) for value, count in counts.items()]


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(f"clipqueue_{name}", what, value=value)


# prometheus_client adds `_total` to the names of counters.
def _total(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(f"clipqueue_{name}", what, value=value)


def _counter(name: str, what: str, labels: Sequence[str], counts: Iterable[tuple[Sequence[str], float]]) -> Metric:
    family = CounterMetricFamily(f"clipqueue_{name}", what, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _histogram(name: str, what: str, values: Histogram) -> Metric:
    return HistogramMetricFamily(f"clipqueue_{name}", what, buckets=_buckets(values), sum_value=values.sum)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return the text of each bound, and how many values are not above it."""
    bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))
