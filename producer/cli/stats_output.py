"""How `clipqueue stats` shows a reading and its rates: as a block of text, as one line, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.operations.stats.models import count_models
from producer.operations.text import count_of, duration, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producer.operations.stats.rates import Rates
    from producer.operations.stats.reading import Reading

_NAME_CHARS = 12
_MAX_CODES = 8
_MINUTE_S = 60
_RATES = ("done", "skipped", "failed", "retried", "requeued")


def as_block(reading: Reading, rates: Rates, growth: float | None) -> str:
    """Return all figures, one line for each subject."""
    lines = (*_queue_lines(reading, rates, growth), *_worker_lines(reading, rates), *_rate_lines(rates))
    return "\n".join(f"{name:<{_NAME_CHARS}}{text}" for name, text in lines)


def as_line(reading: Reading, rates: Rates) -> str:
    """Return the main figures as one line."""
    eta_s = rates.eta_s(reading)
    figures = (
        *(f"{name}={getattr(reading, name)}" for name in ("waiting", "in_flight", "delayed", "parked")),
        f"workers={len(reading.workers)}",
        *(f"{name}={getattr(rates, name):.1f}/s" for name in ("done", "failed", "retried")),
        "" if rates.latency_s is None else f"latency={rates.latency_s:.3f}s",
        "" if eta_s is None else f"eta={eta_s:.0f}s",
    )
    return " ".join((_iso(reading.at_s), *filter(None, figures)))


def as_json(reading: Reading, rates: Rates, growth: float | None) -> dict[str, Any]:
    """Return all figures for a program. docs/operations.md lists the keys."""
    queue = ("waiting", "in_flight", "delayed", "parked", "oldest_age_s", "overdue_s")
    numbers = {name: _rounded(getattr(reading, name)) for name in queue}
    return {
        "at": _iso(reading.at_s),
        "queue": {**numbers, "growth_per_s": _rounded(growth), "eta_s": _rounded(rates.eta_s(reading))},
        "redis": {"memory_bytes": reading.memory_bytes, "max_memory_bytes": reading.max_memory_bytes},
        "workers": {
            "live": len(reading.workers),
            "unreadable": reading.unreadable_workers,
            "store_away": _count_store_away(reading),
            "models": [asdict(model) for model in count_models(reading)],
        },
        "rates": {
            "since": "heartbeat" if rates.is_recent else "start",
            "span_s": _rounded(rates.span_s),
            "workers": rates.workers,
            **{name: round(getattr(rates.sums, name)) for name in _RATES},
            **{f"{name}_per_s": _rounded(getattr(rates, name)) for name in (*_RATES, "queries", "fetched_bytes")},
            "cpus": _rounded(rates.cpus),
            "latency_s": _rounded(rates.latency_s),
            "stages_s": {stage: _rounded(mean_s) for stage, mean_s in rates.stages_s.items()},
            "batch_images": _rounded(rates.batch_images),
            "batch_fill": _rounded(rates.batch_fill),
            "model_busy": _rounded(rates.model_busy),
            "errors": dict(rates.errors),
        },
    }


def _queue_lines(reading: Reading, rates: Rates, growth: float | None) -> Iterator[tuple[str, str]]:
    age = "of unknown age" if reading.oldest_age_s is None else f"the oldest for {duration(reading.oldest_age_s)}"
    yield "waiting", f"{reading.waiting:,}" + (f", {age}" if reading.waiting else "")
    yield "in flight", f"{reading.in_flight:,}"
    overdue = f", the first has been due for {duration(reading.overdue_s)}" if reading.overdue_s else ""
    yield "delayed", f"{reading.delayed:,}{overdue}"
    yield "parked", f"{reading.parked:,}" + (": see clipqueue parked list" if reading.parked else "")
    if growth:
        yield "change", f"{growth:+,.1f} jobs/s"
    if (eta_s := rates.eta_s(reading)) and reading.jobs:
        yield "work for", f"{duration(eta_s)}, if nothing is enqueued meanwhile"
    if reading.memory_bytes is not None:
        limit = f" of {size_of(reading.max_memory_bytes)}" if reading.max_memory_bytes else ""
        yield "Redis", f"{size_of(reading.memory_bytes)}{limit}"


def _worker_lines(reading: Reading, rates: Rates) -> Iterator[tuple[str, str]]:
    silent = len(reading.workers) - rates.workers
    notes = [
        f"{count} {text}"
        for count, text in (
            (_count_store_away(reading), "without MongoDB"),
            (silent, "without figures yet, or of an earlier version"),
            (reading.unreadable_workers, "with an unreadable heartbeat"),
        )
        if count
    ]
    yield "workers", ", ".join((f"{len(reading.workers):,}", *notes))
    for model in count_models(reading):
        does = [f"images: {model.images}"] * bool(model.images) + [f"queries: {model.queries}"] * bool(model.queries)
        yield "", f"{model.model} ({', '.join(does) or 'nothing'})"


def _rate_lines(rates: Rates) -> Iterator[tuple[str, str]]:
    if not rates.workers:
        return
    start = f"the workers started, the first {duration(rates.span_s)} ago"
    yield "since", f"{duration(rates.span_s)} ago" if rates.is_recent else start
    for name in _RATES:
        yield name, f"{getattr(rates.sums, name):,.0f} ({getattr(rates, name):,.1f}/s)"
    if rates.queries:
        yield "queries", f"{rates.queries:,.1f}/s"
    if rates.latency_s is not None:
        yield "latency", f"{_seconds(rates.latency_s)} from enqueue to vector"
    if rates.stages_s:
        yield "stages", ", ".join(f"{stage} {_seconds(mean_s)}" for stage, mean_s in rates.stages_s.items())
    if rates.batch_images is not None:
        fill = f", {rates.batch_fill:.0%} full" if rates.batch_fill is not None else ""
        yield "batches", f"{rates.batch_images:.1f} images{fill}"
    busy = f"the model computes {rates.model_busy:.0%} of the time, " if rates.model_busy is not None else ""
    download = f"{size_of(round(rates.fetched_bytes))}/s fetched"
    yield "load", f"{busy}{rates.cpus:.1f} processors, {download}"
    if rates.errors:
        yield "errors", _described_errors(rates)


def _described_errors(rates: Rates) -> str:
    codes = sorted(rates.errors.items(), key=lambda one: (-one[1], one[0]))
    more = len(codes) - _MAX_CODES
    return ", ".join(f"{code} {count:,}" for code, count in codes[:_MAX_CODES]) + (
        f" and {count_of(more, 'code')} more" if more > 0 else ""
    )


def _count_store_away(reading: Reading) -> int:
    return sum(heartbeat["store_away"] for heartbeat in reading.heartbeats)


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < _MINUTE_S else duration(seconds)


def _rounded(number: float | None) -> float | None:
    return round(number, 6) if isinstance(number, float) else number


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
