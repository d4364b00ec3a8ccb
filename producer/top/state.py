"""All that the screens are drawn from: the last readings, why newer ones are missing, and what the user has chosen."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from producer.top.text import Letters
from producer.top.workers import SORTS, Row, sort_rows

if TYPE_CHECKING:
    from datetime import datetime

    from producer.top.failures import Failures
    from producer.top.tracking import Snapshot


@dataclass
class Trouble:
    """A server that does not answer.

    Attributes:
        why: The sentence of the error.
        since_s: When it first did not, by `time.monotonic`.
    """

    why: str
    since_s: float


@dataclass(frozen=True)
class Code:
    """A line of the table of errors: what MongoDB counts and what the workers do.

    Attributes:
        code: The code, as it is shown.
        raw_code: The code as it is in the documents.
        stage: The stages at which it happens.
        images: How many images have failed with it; None if MongoDB has not said.
        a_minute: Attempts that failed with it each minute, those that are retried included.
        newest: When the newest image failed.
        message: Its message.
        sample: Its id and URL.
    """

    code: str
    raw_code: Any
    stage: str = ""
    images: int | None = None
    a_minute: float = 0.0
    newest: datetime | None = None
    message: str = ""
    sample: str = ""


@dataclass
class State:
    """The state of the program.

    Attributes:
        host: What messages call the Redis server.
        every_s: Seconds between two readings.
        letters: The characters that the terminal can show.
        has_colours: Whether it has colours.
        mongodb_problem: Why no failures can be read at all, such as a missing setting.
        snapshot: The last snapshot of the queue; None before the first.
        trouble: Redis does not answer.
        failures: What MongoDB said last; None before the first answer.
        mongodb_trouble: MongoDB does not answer.
        is_paused: Whether nothing is read.
        sort: How the workers are sorted.
        note: What a retry said last.
        rows: The workers, sorted.
        codes: The errors.
    """

    host: str
    every_s: float
    letters: Letters = field(default_factory=Letters)
    has_colours: bool = True
    mongodb_problem: str = ""
    snapshot: Snapshot | None = None
    trouble: Trouble | None = None
    failures: Failures | None = None
    mongodb_trouble: Trouble | None = None
    is_paused: bool = False
    sort: str = SORTS[0]
    note: str = ""
    rows: list[Row] = field(default_factory=list)
    codes: list[Code] = field(default_factory=list)

    def take(self, snapshot: Snapshot, rows: list[Row], every_s: float) -> None:
        """Take a snapshot of the queue, and its workers as lines; the next one comes in `every_s` seconds."""
        self.snapshot, self.every_s, self.trouble = snapshot, every_s, None
        self.rows = sort_rows(rows, self.sort)
        self._list_codes()

    def take_failures(self, failures: Failures) -> None:
        """Take what MongoDB says."""
        self.failures, self.mongodb_trouble = failures, None
        self._list_codes()

    def note_trouble(self, why: str) -> None:
        """Redis did not answer."""
        self.trouble = Trouble(self.letters.inert(why), self.trouble.since_s if self.trouble else time.monotonic())

    def note_mongodb_trouble(self, why: str) -> None:
        """MongoDB did not answer."""
        since_s = self.mongodb_trouble.since_s if self.mongodb_trouble else time.monotonic()
        self.mongodb_trouble = Trouble(self.letters.inert(why), since_s)

    def sort_next(self) -> None:
        """Sort the workers in the next way."""
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self.rows = sort_rows(self.rows, self.sort)

    def _list_codes(self) -> None:
        inert, recent = self.letters.inert, self.snapshot.recent if self.snapshot else None
        a_minute = {code: count / recent.span_s * 60 for code, count in recent.errors.items()} if recent else {}
        codes = []
        for group in self.failures.groups if self.failures else ():
            sample = group.samples[0] if group.samples else None
            codes.append(
                Code(
                    code=inert(group.code),
                    raw_code=group.raw_code,
                    stage=inert(group.stage),
                    images=group.count,
                    a_minute=a_minute.pop(group.raw_code, 0.0) if isinstance(group.raw_code, str) else 0.0,
                    newest=group.newest,
                    # Many begin with the URL, which would leave no room for what happened.
                    message=inert(sample.message.removeprefix(sample.url).lstrip(" :")) if sample else "",
                    sample=inert(f"{sample.image_id}  {sample.url}") if sample else "",
                )
            )
        others = sorted(a_minute.items(), key=lambda found: (-found[1], found[0]))
        self.codes = [*codes, *(Code(inert(code), code, a_minute=rate) for code, rate in others)]
