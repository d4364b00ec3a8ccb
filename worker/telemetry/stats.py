"""Sums up the figures for the heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from producer.contract.fields import WorkerStats
    from worker.telemetry.figures import Figures, Histogram
    from worker.telemetry.readings import Readings

# A heartbeat is small, whatever goes wrong.
_MAX_CODES = 20
_DIGITS = 3


def worker_stats(figures: Figures, readings: Readings) -> WorkerStats:
    """Return what the process has done since its start."""
    cpu_s, rss_bytes, in_flight = readings.cpu_s(), readings.rss_bytes(), readings.in_flight()
    with figures.lock:
        errors: dict[str, int] = {}
        for (code, _), count in (*figures.failures.items(), *figures.retries.items()):
            errors[code] = errors.get(code, 0) + count
        most = sorted(errors, key=lambda code: -errors[code])[:_MAX_CODES]
        return {
            "done": figures.outcomes["done"],
            "skipped": figures.outcomes["skipped"],
            "failed": figures.outcomes["failed"],
            "retried": figures.outcomes["retried"],
            "requeued": figures.outcomes["requeued"],
            "in_flight": in_flight,
            "batches": figures.batch_sizes.count,
            "images": int(figures.batch_sizes.sum),
            "model_busy_s": round(figures.model_busy_s, _DIGITS),
            "stages": {stage: _count_and_sum(times) for stage, times in figures.stages.items()},
            "latency": _count_and_sum(figures.latency),
            "queries": figures.queries.total(),
            "fetched_bytes": figures.fetched_bytes,
            "cpu_s": round(sum(cpu_s.values()), _DIGITS),
            "rss_bytes": rss_bytes,
            "errors": {code: errors[code] for code in most},
        }


def _count_and_sum(histogram: Histogram) -> list[float]:
    return [histogram.count, round(histogram.sum, _DIGITS)]
