"""Draws the first screen: the figures, the workers and the errors."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.operations.text import duration
from producer.top.figures import draw_figures, reason
from producer.top.lines import Line, keys_line
from producer.top.tables import Column, Cursor, Table, heading, longest, merged, row_line
from producer.top.text import fit, number

if TYPE_CHECKING:
    from producer.top.state import Code, State
    from producer.top.workers import Row

_WORKERS = Table(
    (
        Column("WORKER", 12, "~"),
        Column("MODEL", 11, "~"),
        Column("DEVICE", 6, is_spared=True),
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
        Column("ERROR", 20),
        Column("STAGE", 6, is_spared=True),
        Column("IMAGES", 9, ">"),
        Column("/MIN", 5, ">"),
        Column("NEWEST", 6, ">"),
        Column("ITS MESSAGE", 12),
    )
)
# Figures that mean nothing while a worker has no MongoDB. This is then in their place.
_RATES = ("IMG/S", "FILL", "BUSY")
_AWAY = "AWAY"
# Celery's own name for a node.
_USUAL = "celery@"
# The most important first.
_KEYS = ("q quit", "? help", "s sort", "p pause", "Tab table", "Enter look into", "↑↓ choose")


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
        note = [Line.of((state.note, "warn"))] if state.note else []
        foot = [*self._sample(state), *note, keys_line(_KEYS, width)]
        # Each table has two lines above its own. On a low screen, the last of the figures make room for them.
        top = draw_figures(state, width)[: max(height - len(foot) - 6, 2)]
        why = reason(state.mongodb_trouble, width) if state.mongodb_trouble else []
        room = max(height - len(top) - len(why) - len(foot) - 4, 0)
        # The errors get what the workers leave, and at least a third.
        errors = min(len(state.codes), max(room // 3, room - len(state.rows), 1))
        tables = [*self._workers(state, width, max(room - errors, 0)), *self._codes(state, width, errors, why)]
        body = [*top, *tables][: max(height - len(foot), 0)]
        return [*body, *[Line()] * (height - len(foot) - len(body)), *foot][:height]

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
        same = _same_for_all(state.rows)
        fitting = _WORKERS.without(same).fitting(_longest(state.rows), width)
        away = merged(fitting, _RATES, _AWAY)
        shown = self.worker.window(height, _keys_of_workers(state))
        lines = [_title("Workers", _count_workers(state, shown, same)), heading(fitting)]
        for index in shown:
            is_chosen, is_away = index == self.worker.index and not self.on_errors, state.rows[index].store_away
            lines.append(
                row_line(
                    _cells(state.rows[index]),
                    away if is_away else fitting,
                    "bad" if is_away else "",
                    is_chosen=is_chosen,
                )
            )
        return [*lines, Line()] if height > len(shown) else lines

    def _codes(self, state: State, width: int, height: int, why: list[Line]) -> list[Line]:
        now = datetime.now(UTC)
        rows = [_code_cells(code, now) for code in state.codes]
        fitting = _CODES.fitting(
            {title: longest(row[title] for row in rows) for title in ("ERROR", "ITS MESSAGE")}, width
        )
        shown = self.code.window(height, _keys_of_codes(state))
        chosen = self.code.index if self.on_errors else None
        lines = [_title("Errors", _count_errors(state, shown)), *why, heading(fitting)]
        return [*lines, *(row_line(rows[index], fitting, is_chosen=index == chosen) for index in shown)]

    def _sample(self, state: State) -> list[Line]:
        code = self.chosen_code(state)
        return [Line.of((" newest: ", "label"), code.sample)] if code and code.sample and self.on_errors else []


def _keys_of_workers(state: State) -> list[Any]:
    return [row.key for row in state.rows]


def _keys_of_codes(state: State) -> list[Any]:
    return [code.raw_code for code in state.codes]


def _title(name: str, rest: list[tuple[str, str]]) -> Line:
    return Line(((fit(name, 9), "label"), *rest))


def _count_workers(state: State, shown: range, same: dict[str, str]) -> list[tuple[str, str]]:
    if not state.snapshot:
        return []
    count, unreadable = len(state.rows), state.snapshot.reading.unreadable_workers
    parts = [(f"{count:,} alive", "")] if count else [("no worker is alive", "bad")]
    parts += _shown(shown, count)
    if unreadable:
        parts += [(f", {unreadable:,} unreadable", "warn")]
    away = sum(row.store_away for row in state.rows)
    if away:
        parts += [(f", {away:,} without MongoDB", "bad")]
    return [*parts, (f", by {state.sort}", ""), (": " + ", ".join(same.values()) if same else "", "")]


def _count_errors(state: State, shown: range) -> list[tuple[str, str]]:
    count = len(state.codes)
    parts: list[tuple[str, str]] = []
    if state.mongodb_problem:
        parts.append((f"not counted: {state.mongodb_problem}", "warn"))
    elif state.mongodb_trouble:
        parts.append((f"no answer for {duration(time.monotonic() - state.mongodb_trouble.since_s)}", "bad"))
    elif state.failures is None:
        parts.append(("reading the failed images ...", ""))
    elif not count:
        parts.append(("no image has failed", "good"))
    else:
        parts.append((f"{count:,} codes, counted {duration(time.monotonic() - state.failures.at_s)} ago", ""))
    return [*parts, *_shown(shown, count)]


def _shown(shown: range, count: int) -> list[tuple[str, str]]:
    """Return which lines of a table are on the screen, unless all are."""
    if len(shown) == count:
        return []
    return [(f", {shown.start + 1:,} to {shown.stop:,} shown" if shown else ", none shown", "")]


def _same_for_all(rows: list[Row]) -> dict[str, str]:
    """Return what all workers have in common: it is said once, and leaves room for their names."""
    facts = {"MODEL": {row.model for row in rows}, "DEVICE": {row.device for row in rows}}
    facts["PREC"] = {row.precision for row in rows}
    return {title: found.pop() for title, found in facts.items() if len(found) == 1}


def _longest(rows: list[Row]) -> dict[str, int]:
    return {
        "WORKER": longest(row.node.removeprefix(_USUAL) for row in rows),
        "MODEL": longest(row.model for row in rows),
        "DEVICE": longest(row.device for row in rows),
    }


def _cells(row: Row) -> dict[str, str]:
    images, fill, busy, errors = row.rates()
    return {
        "WORKER": row.node.removeprefix(_USUAL),
        "MODEL": row.model,
        "DEVICE": row.device,
        "PREC": row.precision,
        "JOBS": row.jobs,
        "IMG/S": images,
        "FILL": fill,
        "BUSY": busy,
        "MEM": row.memory,
        "ERR/M": errors,
        "HEARD": row.heard,
        _AWAY: "no MongoDB",
    }


def _code_cells(code: Code, now: datetime) -> dict[str, str]:
    newest = "-"
    if code.newest:
        at = code.newest if code.newest.tzinfo else code.newest.replace(tzinfo=UTC)
        newest = duration((now - at).total_seconds())
    return {
        "ERROR": code.code,
        "STAGE": code.stage,
        "IMAGES": "-" if code.images is None else f"{code.images:,}",
        "/MIN": number(code.a_minute),
        "NEWEST": newest,
        "ITS MESSAGE": code.message or "no image has failed with it",
    }
