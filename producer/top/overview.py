"""Draws the first screen: the queue, the rates, the workers and the errors."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.top.lines import Line, flow
from producer.top.rates import BAR_S, OUTCOMES, STAGES
from producer.top.tables import Column, Cursor, Table
from producer.top.text import fit, number, since, size, span, sparkline

if TYPE_CHECKING:
    from producer.top.state import Code, State, Trouble
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
_SLOW_S = 3.0
_KEYS = "q quit  ? help  s sort  p pause  Tab other table  ↑↓ choose  Enter look into"
_LEAST_ROWS = 2


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
    clock = state.read_at.strftime("%H:%M:%S UTC") if state.read_at else "no figures yet"
    right = f"{'paused at ' if state.is_paused else ''}{clock}  every {state.every_s:g} s "
    left = fit(f" clipqueue top  {state.host}", max(width - len(right), 0))
    lines = [Line.of((left + right, "bar"))]
    if state.trouble:
        lines += _trouble(state, state.trouble)
    return lines


def _trouble(state: State, trouble: Trouble) -> list[Line]:
    old = since(time.monotonic() - trouble.since_s)
    shown = f"these figures are of {state.read_at:%H:%M:%S}" if state.read_at else "there are no figures yet"
    return [Line.of((f"{shown}; no answer for {old}", "bad")), Line.of((trouble.why, "bad"))]


def _queue(state: State, width: int) -> list[Line]:
    reading = state.reading
    if reading is None:
        return [Line.of("" if state.trouble else "reading the queue ...")]
    counts, rates, own = reading.counts, state.rates, state.letters.own
    oldest = "-" if reading.oldest_s is None else since(reading.oldest_s)
    chunks = [
        (f"waiting {counts.waiting:<9,}", "bold"),
        (f"in flight {counts.in_flight:<6,}", ""),
        (f"delayed {counts.delayed:<6,}", ""),
        (f"parked {reading.parked:<5,}", "warn" if reading.parked else ""),
        (f"oldest {oldest:<7}", ""),
        (f"{_growth(state):<15}", ""),
        (_empty(rates.empty_in_s), ""),
    ]
    lines = flow("Queue", chunks, width)
    if counts.delayed and reading.delays.count:
        described = state.letters.inert(reading.delays.described())
        lines += flow("Delayed", [(part, "") for part in described.split("; ")], width)
    return [Line(tuple((own(text), style) for text, style in line.parts)) for line in lines]


def _growth(state: State) -> str:
    growth = state.rates.growth
    if growth is None:
        return "growth -"
    return f"grows {number(growth)}/s" if growth > 0 else f"shrinks {number(-growth)}/s" if growth < 0 else "steady"


def _empty(seconds: float | None) -> str:
    if seconds is None:
        return "empty in -"
    return "empty now" if seconds == 0 else f"empty in {since(seconds)}"


def _work(state: State, width: int) -> list[Line]:
    rates, minute = state.rates, state.rates.minute
    if not state.reading:
        return []
    mean_s, columns = minute.mean_s("latency"), max(min(width - 50, len(rates.bars)), 0)
    bars = sparkline(list(rates.bars), columns)
    highest = max(list(rates.bars)[-columns:], default=0.0) if columns else 0.0
    speed = [
        (
            f"{number(rates.images):>6} images/s now" if rates.is_known else "  two heartbeats make a rate: up to 20 s",
            "bold",
        )
    ]
    if bars:
        speed += [(state.letters.own(bars), "good"), (f"{since(columns * BAR_S)}, most {number(highest)}", "")]
    jobs = [
        (f"{name} {number(rates.each_minute(minute.sums[name])):<6}", _style_of(name, minute.sums[name]))
        for name in OUTCOMES
    ]
    stages = [(f"{name} {_span(minute.mean_s(f'stage:{name}')):<6}", "") for name in STAGES]
    bytes_s = size(minute.sums["fetched_bytes"] / rates.minute_s if rates.minute_s else 0)
    latency = [
        (f"{_span(mean_s):<6} from enqueue to vector", ""),
        (f"fetched {bytes_s}/s", ""),
        (f"queries {number(rates.each_minute(minute.sums['queries']))}/min", ""),
    ]
    return [
        *flow("Rate", speed, width),
        *flow("Jobs/min", jobs, width),
        *flow("Latency", latency, width),
        *flow("Stages", stages, width),
    ]


def _style_of(outcome: str, count: float) -> str:
    return "bad" if outcome == "failed" and count else ""


def _span(seconds: float | None) -> str:
    return "-" if seconds is None else span(seconds)


def _title(name: str, rest: list[tuple[str, str]]) -> Line:
    return Line(((fit(name, 9), "label"), *rest))


def _count_workers(state: State, shown: range) -> list[tuple[str, str]]:
    if not state.reading:
        return []
    count, unreadable = len(state.rows), state.reading.workers.unreadable
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
    figures = (row.jobs, row.images, row.fill, row.busy, row.memory, row.errors, row.heard)
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
