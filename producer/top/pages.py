"""Draws the other screens: the failures of a code, one worker, the help, and a question."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from producer.operations.text import duration
from producer.top.lines import Line, keys_line
from producer.top.tables import Column, Cursor, Table, heading, longest, row_line
from producer.top.text import fit, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from producer.documents.failures import Sample
    from producer.top.state import Code, State
    from producer.top.workers import Row

_FAILURES = Table((Column("FAILED AT (UTC)", 19), Column("IMAGE", 20), Column("MESSAGE", 12)))
_LABEL = 9
_FAILURE_KEYS = ("Esc back", "r retry this image", "R retry all", "? help", "q quit", "↑↓ choose")
_BACK_KEYS = ("Esc back", "? help", "q quit")
HELP = """\
Figures of the queue are of now. Rates and times are of the last half minute,
those of one worker of the time between its last two heartbeats (10 s).

s        sort the workers: by rate, batch fill, errors or name
Tab      go to the other table: workers, errors
↑ ↓      choose a line; also k j, Page Up, Page Down, Home, End
Enter    look into the chosen worker, or into the failures of the chosen error
r        in the failures: retry the chosen image; asks first
R        in the failures: retry all images with this error; asks first
p        pause: nothing is read until p is pressed again
Esc      back
q        quit; so do Ctrl-C and Ctrl-Q. Ctrl-Z suspends

empty in: when no job waits any more, if the queue goes on to shrink as now
work for: how long the workers need for the jobs there are, if no more come
JOBS     jobs in flight of the most that the worker takes at once
IMG/S    images through the model each second
FILL     how full its batches are, of the largest batch
BUSY     the share of the time in which the model computed
ERR/M    attempts that failed each minute, those that are retried included
HEARD    how long ago its heartbeat was; after 30 s it counts as dead
IMAGES   images whose last job failed with this error; counted every 15 s
/MIN     attempts that failed with this error each minute"""


def draw_failures(state: State, code: Code, cursor: Cursor, width: int, height: int) -> list[Line]:
    """Return the lines of the screen with the failures of a code."""
    samples, inert = samples_of(state, code), state.letters.inert
    rows = [
        {"FAILED AT (UTC)": _at(sample.failed_at), "IMAGE": inert(sample.image_id), "MESSAGE": inert(sample.message)}
        for sample in samples
    ]
    fitting = _FAILURES.fitting({title: longest(row[title] for row in rows) for title in ("IMAGE", "MESSAGE")}, width)
    keys = [sample.document_id for sample in samples]
    cursor.window(1, keys)
    chosen = samples[cursor.index] if samples else None
    details = _details(state, code, chosen, width) if chosen else []
    foot = [
        *([Line.of((state.note, "warn"))] if state.note else []),
        keys_line(_FAILURE_KEYS, width),
    ]
    shown = cursor.window(max(height - len(details) - len(foot) - 3, 1), keys)
    lines = [Line.of((fit(f" {_title(state, code, len(samples))}", width), "bar")), heading(fitting)]
    lines += [row_line(rows[index], fitting, is_chosen=index == cursor.index) for index in shown]
    body = [*lines, *([Line()] if details else []), *details][: max(height - len(foot), 0)]
    return [*body, *[Line()] * (height - len(foot) - len(body)), *foot]


def samples_of(state: State, code: Code) -> list[Sample]:
    """Return the failures of a code that were read last; none if others were read."""
    failures = state.failures
    is_read = failures and failures.samples is not None and failures.code == code.raw_code
    return list(failures.samples or ()) if failures and is_read else []


def draw_worker(row: Row, width: int, height: int, *, is_alive: bool) -> list[Line]:
    """Return the lines of the screen with one worker, as it was when it was last alive."""
    facts = {
        "model": row.model,
        "device": f"{row.device}, {row.precision}",
        **row.details,
        "jobs": f"{row.jobs} in flight",
        "now": "{} images/s, batches {} full, model busy {}, {} errors/min".format(*row.rates()),
        "memory": row.memory,
        "MongoDB": "away: it takes no jobs until MongoDB answers" if row.store_away else "answers",
        "heard of": f"{row.heard} ago",
    }
    lines = [Line.of((fit(f" {row.node}", width), "bar")), Line()]
    if not is_alive:
        lines += [Line.of(("It has ended: its last figures are", "bad")), Line()]
    for name, fact in facts.items():
        lines += _labelled(name, fact, width, 15)
    return _with_foot(lines, _BACK_KEYS, width, height)


def draw_help(width: int, height: int, first: int) -> list[Line]:
    """Return the lines of the help from line `first` on."""
    wrapped = [part for line in HELP.splitlines() for part in wrap(line, width)]
    lines = [Line.of((fit(" Help", width), "bar")), *map(Line.of, wrapped[first:])]
    return _with_foot(lines, ("Esc back", "↑↓ more", "q quit"), width, height)


def help_lines(width: int) -> int:
    """Return how many lines the help has."""
    return sum(len(wrap(line, width)) for line in HELP.splitlines())


def draw_question(question: str, width: int, height: int) -> list[Line]:
    """Return the lines of a question."""
    lines = [Line(), *(Line.of((part, "bold")) for part in wrap(question, width)), Line()]
    return _with_foot([*lines, Line.of("y  yes"), Line.of("n  no")], ("y yes", "n or Esc no"), width, height)


def _title(state: State, code: Code, shown: int) -> str:
    count = "" if code.images is None else f"{code.images:,} images"
    if shown:
        return f"{code.code}  {count}, the newest {shown:,}:" if code.images != shown else f"{code.code}  {count}"
    if state.mongodb_problem:
        return f"{code.code}  {state.mongodb_problem}"
    if state.mongodb_trouble:
        waited = state.mongodb_trouble.why
        return f"{code.code}  {waited}"
    if not _is_read(state, code):
        return f"{code.code}  reading ..."
    return f"{code.code}  no image has failed with it: what failed is tried again, or has a vector now"


def _is_read(state: State, code: Code) -> bool:
    failures = state.failures
    return failures is not None and failures.samples is not None and failures.code == code.raw_code


def _details(state: State, code: Code, sample: Sample, width: int) -> list[Line]:
    inert = state.letters.inert
    return [
        *_labelled("image", inert(sample.image_id), width),
        *_labelled("URL", inert(sample.url) or "(no URL)", width),
        *_labelled("failed", f"{_at(sample.failed_at)} UTC, {_ago(sample.failed_at, state)}", width),
        *_labelled("error", f"{code.code} at {inert(sample.stage) or 'an unknown stage'}", width),
        *_labelled("message", inert(sample.message) or "(no message)", width),
    ]


def _labelled(name: str, text: str, width: int, label: int = _LABEL) -> list[Line]:
    parts = wrap(text, max(width - label, 1))
    return [Line.of((fit(name if index == 0 else "", label), "label"), part) for index, part in enumerate(parts)]


def _at(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else "unknown"


def _ago(at: datetime | None, state: State) -> str:
    if at is None or state.snapshot is None:
        return "it is unknown how long ago"
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return f"{duration(state.snapshot.reading.at_s - at.timestamp())} ago"


def _with_foot(lines: list[Line], keys: Sequence[str], width: int, height: int) -> list[Line]:
    body = lines[: max(height - 1, 0)]
    return [*body, *[Line()] * (height - 1 - len(body)), keys_line(keys, width)]
