"""All that the screens are drawn from: the last readings, why newer ones are missing, and what the user has chosen."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.top.rates import Rates
from producer.top.text import Letters
from producer.top.workers import SORTS, Row, rows_of

if TYPE_CHECKING:
    from producer.top.failures import Failures
    from producer.top.reading import Reading


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
        mongodb_problem: Why no failures can be read at all, such as a missing setting.
        reading: The last reading; None before the first.
        read_at: When it was taken, by this machine's clock.
        rates: The rates.
        trouble: Redis does not answer.
        failures: What MongoDB said last; None before the first answer.
        mongodb_trouble: MongoDB does not answer.
        asked_s: When the failures were asked for, by `time.monotonic`; None if no answer is awaited.
        is_paused: Whether nothing is read.
        sort: How the workers are sorted.
        note: What a retry said last.
    """

    host: str
    every_s: float
    letters: Letters = field(default_factory=Letters)
    mongodb_problem: str = ""
    reading: Reading | None = None
    read_at: datetime | None = None
    rates: Rates = field(default_factory=Rates)
    trouble: Trouble | None = None
    failures: Failures | None = None
    mongodb_trouble: Trouble | None = None
    is_paused: bool = False
    sort: str = SORTS[0]
    note: str = ""
    rows: list[Row] = field(default_factory=list)
    codes: list[Code] = field(default_factory=list)

    def take(self, reading: Reading) -> None:
        """Take a reading of the queue."""
        self.reading, self.read_at, self.trouble = reading, datetime.now(UTC), None
        self.rates.add(reading)
        self._sort()
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
        self._sort()

    def _sort(self) -> None:
        if self.reading:
            self.rows = rows_of(self.reading, self.rates, self.letters, self.sort)

    def _list_codes(self) -> None:
        inert, rates = self.letters.inert, self.rates
        a_minute = {code: rates.each_minute(count) for code, count in rates.minute.errors.items() if count}
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
                    message=inert(sample.message) if sample else "",
                    sample=inert(f"{sample.image_id}  {sample.url}") if sample else "",
                )
            )
        others = sorted(a_minute.items(), key=lambda found: (-found[1], found[0]))
        self.codes = [*codes, *(Code(inert(code), code, a_minute=rate) for code, rate in others)]
