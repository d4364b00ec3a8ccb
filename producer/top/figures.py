"""Draws the upper part of the first screen: the queue, the rates, the latency and the stages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from producer.operations.stats.sums import STAGES
from producer.operations.text import duration
from producer.top.lines import Line, flow
from producer.top.text import fit, number, size, span, sparkline, wrap
from producer.top.tracking import BAR_S

if TYPE_CHECKING:
    from producer.operations.stats.reading import Reading
    from producer.top.state import State, Trouble
    from producer.top.tracking import Snapshot

_REASON_LINES = 3
_OUTCOMES = ("done", "skipped", "failed", "retried", "requeued")


def draw_figures(state: State, width: int) -> list[Line]:
    """Return the lines."""
    return [*_header(state, width), *_queue(state, width), *_work(state, width)]


def reason(trouble: Trouble, width: int) -> list[Line]:
    """Return why a server does not answer. Of a long reason, the first lines say what matters."""
    return [Line.of((part, "bad")) for part in wrap(trouble.why, width)[:_REASON_LINES]]


def _header(state: State, width: int) -> list[Line]:
    clock = f"{state.snapshot.at:%H:%M:%S} UTC" if state.snapshot else "no figures yet"
    right = f"{'paused at ' if state.is_paused else ''}{clock}  every {state.every_s:g} s "
    left = fit(f" clipqueue top  {state.host}", max(width - len(right), 0))
    lines = [Line.of((left + right, "bar"))]
    if state.trouble:
        lines += _trouble(state, state.trouble, width)
    return lines


def _trouble(state: State, trouble: Trouble, width: int) -> list[Line]:
    old = duration(time.monotonic() - trouble.since_s)
    shown = f"these figures are of {state.snapshot.at:%H:%M:%S}" if state.snapshot else "there are no figures yet"
    return [Line.of((f"{shown}; no answer for {old}", "bad")), *reason(trouble, width)]


def _queue(state: State, width: int) -> list[Line]:
    snapshot = state.snapshot
    if snapshot is None:
        return [Line.of("" if state.trouble else "reading the queue ...")]
    reading = snapshot.reading
    oldest = duration(reading.oldest_age_s) if reading.waiting and reading.oldest_age_s is not None else "-"
    chunks = [
        (f"waiting {reading.waiting:<9,}", "bold"),
        (f"in flight {reading.in_flight:<6,}", ""),
        (f"delayed {reading.delayed:<6,}", ""),
        (f"parked {reading.parked:<5,}", "warn" if reading.parked else ""),
        (f"oldest {oldest:<7}", ""),
        (f"{_growth(snapshot.growth):<14}", ""),
        (_empty(snapshot), ""),
        (_memory(reading), ""),
    ]
    lines = flow("Queue", [chunk for chunk in chunks if chunk[0]], width)
    if snapshot.delays and snapshot.delays.count:
        described = state.letters.inert(snapshot.delays.described())
        lines += flow("Delayed", [(part, "") for part in described.split("; ")], width)
    return lines


def _growth(growth: float | None) -> str:
    if growth is None:
        return "change -"
    return f"change {'+' if growth > 0 else '-' if growth < 0 else ''}{number(abs(growth))}/s"


def _empty(snapshot: Snapshot) -> str:
    """Return when no job waits any more, as the queue shrinks now; or how long the workers need if no more come."""
    left, growth = snapshot.reading.waiting + snapshot.reading.in_flight, snapshot.growth or 0
    if left and growth < 0:
        return f"empty in {duration(left / -growth)}"
    eta_s = snapshot.recent.eta_s(snapshot.reading)
    if not eta_s:
        return "empty in -" if left else "empty now"
    return f"work for {duration(eta_s)}"


def _memory(reading: Reading) -> str:
    if reading.memory_bytes is None:
        return ""
    limit = f" of {size(reading.max_memory_bytes)}" if reading.max_memory_bytes else ""
    return f"Redis {size(reading.memory_bytes)}{limit}"


def _work(state: State, width: int) -> list[Line]:
    snapshot = state.snapshot
    if not snapshot or not snapshot.recent.workers:
        return []
    recent = snapshot.recent
    jobs = [
        (f"{name} {number(getattr(recent, name) * 60):<6}", _style_of(name, recent.sums.failed)) for name in _OUTCOMES
    ]
    stages = [(f"{stage} {_span(recent.stages_s.get(stage)):<6}", "") for stage in STAGES]
    latency = [
        (f"{_span(recent.latency_s):<6} from enqueue to vector", ""),
        (f"fetched {size(recent.fetched_bytes)}/s", ""),
        (f"queries {number(recent.queries * 60)}/min", ""),
    ]
    return [
        *flow("Rate", _speed(snapshot, width), width),
        *flow("Jobs/min", jobs, width),
        *flow("Latency", latency, width),
        *flow("Stages", stages, width),
    ]


def _speed(snapshot: Snapshot, width: int) -> list[tuple[str, str]]:
    now = "now" if snapshot.recent.is_recent else "since the workers started"
    speed = [(f"{number(snapshot.images):>6} images/s {now}", "bold")]
    shown = snapshot.bars[-max(width - 60, 20) :]
    if shown:
        speed += [
            (sparkline(shown, len(shown)), "good"),
            (f"{duration(len(shown) * BAR_S)}, most {number(max(shown))}", ""),
        ]
    return speed


def _style_of(outcome: str, count: float) -> str:
    return "bad" if outcome == "failed" and count else ""


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else span(seconds)
