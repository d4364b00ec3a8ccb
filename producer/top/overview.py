"""Draws the first screen: the queue, the rates, the workers and the errors."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.operations.stats.sums import STAGES
from producer.top.lines import Line, flow
from producer.top.tables import Column, Cursor, Table
from producer.top.text import fit, number, since, size, span, sparkline
from producer.top.tracking import BAR_S

if TYPE_CHECKING:
    from producer.operations.stats.reading import Reading
    from producer.top.state import Code, State, Trouble
    from producer.top.tracking import Snapshot
    from producer.top.workers import Row

_WORKERS = Table(
    (
        Column("WORKER", 12, "~", grows=True),
        Column("MODEL", 11, "~", grows=True),
        Column("DEVICE", 6, grows=True, is_spared=True),
        Column("PREC", 4, is_spared=True),
        Column("JOBS", 7, ">"),
        Column("IMG/S", 6, ">"),
        Column("FILL", 4, ">"),
        Column("BUSY", 4, ">"),
        Column("MEM", 5, ">", is_spared=True),
        Column("ERR/M", 5, ">"),
        Column("HEARD", 5, ">"),
    )
)
_CODES = Table(
    (
        Column("ERROR", 20, grows=True),
        Column("STAGE", 6, is_spared=True),
        Column("IMAGES", 9, ">"),
        Column("/MIN", 5, ">"),
        Column("NEWEST", 6, ">"),
        Column("ITS MESSAGE", 12, grows=True),
    )
)
# The place of IMG/S, FILL and BUSY, whose figures mean nothing while a worker has no MongoDB.
_AWAY = "no MongoDB"
_KEYS = "q quit  ? help  s sort  p pause  Tab other table  ↑↓ choose  Enter look into"
_OUTCOMES = ("done", "skipped", "failed", "retried", "requeued")


class Overview:
    """The first screen.

    Attributes:
        worker: The chosen worker.
        code: The chosen error.
        on_errors: Whether the keys move in the table of errors.
    """

    def __init__(self) -> None:
        self.worker = Cursor()
        self.code = Cursor()
        self.on_errors = False

    def draw(self, state: State, width: int, height: int) -> list[Line]:
        """Return the lines of the screen."""
        top = [*_header(state, width), *_queue(state, width), *_work(state, width)]
        note = [Line.of((state.note, "warn"))] if state.note else []
        foot = [*self._sample(state), *note, Line.of((state.letters.own(_KEYS), "bar"))]
        room = max(height - len(top) - len(foot) - 4, 0)
        # The errors get what the workers leave, and at least a third.
        errors = min(len(state.codes) or 1, max(room // 3, room - len(state.rows), 1))
        workers = max(room - errors, 0)
        tables = [*self._workers(state, width, workers), *self._codes(state, width, errors)]
        body = [*top, *tables][: max(height - len(foot), 0)]
        body += [Line()] * (height - len(foot) - len(body))
        return [*body, *foot][:height]

    def move(self, by: int, state: State) -> None:
        """Choose another line of the table that the keys are in."""
        if self.on_errors:
            self.code.move(by, _keys_of_codes(state))
        else:
            self.worker.move(by, _keys_of_workers(state))

    def chosen_code(self, state: State) -> Code | None:
        """Return the chosen error."""
        return state.codes[min(self.code.index, len(state.codes) - 1)] if state.codes else None

    def chosen_worker(self, state: State) -> Row | None:
        """Return the chosen worker."""
        return state.rows[min(self.worker.index, len(state.rows) - 1)] if state.rows else None

    def _workers(self, state: State, width: int, height: int) -> list[Line]:
        rows = [_cells(row) for row in state.rows]
        shown = self.worker.window(height, _keys_of_workers(state))
        heading, fitting = _WORKERS.heading(rows, width)
        lines = [_title("Workers", _count_workers(state, shown)), Line.of((heading.text, "heading"))]
        for index in shown:
            row, is_chosen = state.rows[index], index == self.worker.index and not self.on_errors
            line = _WORKERS.line(rows[index], fitting, is_chosen=is_chosen)
            lines.append(_without_store(line, heading, is_chosen=is_chosen) if row.store_away else line)
        return lines + [Line()] * (height - len(shown))

    def _codes(self, state: State, width: int, height: int) -> list[Line]:
        now = datetime.now(UTC)
        rows = [_code_cells(code, now) for code in state.codes]
        shown = self.code.window(height, _keys_of_codes(state))
        heading, fitting = _CODES.heading(rows, width)
        lines = [_title("Errors", _count_errors(state, shown)), Line.of((heading.text, "heading"))]
        for index in shown:
            lines.append(_CODES.line(rows[index], fitting, is_chosen=self.on_errors and index == self.code.index))
        return lines

    def _sample(self, state: State) -> list[Line]:
        code = self.chosen_code(state)
        return [Line.of((" newest: ", "label"), code.sample)] if code and code.sample and self.on_errors else []


def _keys_of_workers(state: State) -> list[Any]:
    return [row.key for row in state.rows]


def _keys_of_codes(state: State) -> list[Any]:
    return [code.raw_code for code in state.codes]


def _header(state: State, width: int) -> list[Line]:
    clock = f"{state.snapshot.at:%H:%M:%S} UTC" if state.snapshot else "no figures yet"
    right = f"{'paused at ' if state.is_paused else ''}{clock}  every {state.every_s:g} s "
    left = fit(f" clipqueue top  {state.host}", max(width - len(right), 0))
    lines = [Line.of((left + right, "bar"))]
    if state.trouble:
        lines += _trouble(state, state.trouble)
    return lines


def _trouble(state: State, trouble: Trouble) -> list[Line]:
    old = since(time.monotonic() - trouble.since_s)
    shown = f"these figures are of {state.snapshot.at:%H:%M:%S}" if state.snapshot else "there are no figures yet"
    return [Line.of((f"{shown}; no answer for {old}", "bad")), Line.of((trouble.why, "bad"))]


def _queue(state: State, width: int) -> list[Line]:
    snapshot = state.snapshot
    if snapshot is None:
        return [Line.of("" if state.trouble else "reading the queue ...")]
    reading = snapshot.reading
    oldest = "-" if reading.oldest_age_s is None else since(reading.oldest_age_s)
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
    """Return when no job waits any more, if none is enqueued meanwhile."""
    eta_s = snapshot.recent.eta_s(snapshot.reading)
    return "ETA -" if eta_s is None else f"ETA {since(eta_s)}"


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
        *flow("Rate", _speed(snapshot, state, width), width),
        *flow("Jobs/min", jobs, width),
        *flow("Latency", latency, width),
        *flow("Stages", stages, width),
    ]


def _speed(snapshot: Snapshot, state: State, width: int) -> list[tuple[str, str]]:
    now = "now" if snapshot.recent.is_recent else "since the workers started"
    speed = [(f"{number(snapshot.images):>6} images/s {now}", "bold")]
    shown = snapshot.bars[-max(width - 60, 20) :]
    if shown:
        bars = state.letters.own(sparkline(shown, len(shown)))
        speed += [(bars, "good"), (f"{since(len(shown) * BAR_S)}, most {number(max(shown))}", "")]
    return speed


def _style_of(outcome: str, count: float) -> str:
    return "bad" if outcome == "failed" and count else ""


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else span(seconds)


def _title(name: str, rest: list[tuple[str, str]]) -> Line:
    return Line(((fit(name, 9), "label"), *rest))


def _count_workers(state: State, shown: range) -> list[tuple[str, str]]:
    if not state.snapshot:
        return []
    count, unreadable = len(state.rows), state.snapshot.reading.unreadable_workers
    parts = [(f"{count:,} alive", "")] if count else [("no worker is alive", "bad")]
    if len(shown) < count:
        parts += [(f", lines {shown.start + 1:,} to {shown.stop:,}", "")]
    if unreadable:
        parts += [(f", {unreadable:,} unreadable", "warn")]
    away = sum(row.store_away for row in state.rows)
    return [*parts, (f", {away:,} without MongoDB", "bad") if away else ("", ""), (f", by {state.sort}", "")]


def _count_errors(state: State, shown: range) -> list[tuple[str, str]]:
    count = len(state.codes)
    parts: list[tuple[str, str]] = []
    if state.mongodb_problem:
        parts.append((f"not counted: {state.mongodb_problem}", "warn"))
    elif state.mongodb_trouble:
        parts.append(
            (
                f"no answer for {since(time.monotonic() - state.mongodb_trouble.since_s)}: {state.mongodb_trouble.why}",
                "bad",
            )
        )
    elif state.failures is None:
        parts.append(("reading the failed images ...", ""))
    elif not count:
        parts.append(("no image has failed", "good"))
    else:
        parts.append((f"{count:,} codes, counted {since(time.monotonic() - state.failures.at_s)} ago", ""))
    if len(shown) < count:
        parts.append((f", lines {shown.start + 1:,} to {shown.stop:,}", ""))
    return parts


def _cells(row: Row) -> tuple[str, ...]:
    images, fill, busy, errors = row.rates()
    figures = (row.jobs, images, fill, busy, row.memory, errors, row.heard)
    return (row.node, row.model, row.device, row.precision, *figures)


def _without_store(line: Line, heading: Line, *, is_chosen: bool) -> Line:
    """Return a worker's line that says so where its rates would be. The titles are ASCII, so their places are cells."""
    start, end = heading.text.index("JOBS") + len("JOBS") + 1, heading.text.index("BUSY") + len("BUSY")
    if not line.text.isascii():
        return Line.of((line.text, "bad"))
    text = line.text[:start] + fit(_AWAY, end - start, ">") + line.text[end:]
    return Line.of((text, "chosen" if is_chosen else "bad"))


def _code_cells(code: Code, now: datetime) -> tuple[str, ...]:
    newest = "-"
    if code.newest:
        at = code.newest if code.newest.tzinfo else code.newest.replace(tzinfo=UTC)
        newest = since((now - at).total_seconds())
    images = "-" if code.images is None else f"{code.images:,}"
    return (code.code, code.stage, images, number(code.a_minute), newest, code.message or "no image has failed with it")
