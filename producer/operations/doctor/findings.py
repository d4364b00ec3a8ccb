"""What `clipqueue doctor` finds, and how it is shown. The looking is done in the modules beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is as it should be, and lines that say so and what to do."""

    subject: str
    is_well: bool
    lines: tuple[str, ...]

    @classmethod
    def well(cls, subject: str, *lines: str) -> Self:
        """Make a finding that asks for nothing."""
        return cls(subject, is_well=True, lines=lines)

    @classmethod
    def look(cls, subject: str, *lines: str) -> Self:
        """Make a finding that somebody should look at; its last line says what to do."""
        return cls(subject, is_well=False, lines=lines)

    def as_text(self) -> str:
        """Return the finding as lines for people."""
        return f"{'ok  ' if self.is_well else 'LOOK'}  {self.subject}: " + "\n        ".join(self.lines)

    def as_json(self) -> dict[str, Any]:
        """Return the finding as `--json` prints it."""
        return {"subject": self.subject, "well": self.is_well, "lines": list(self.lines)}


def duration(seconds: float) -> str:
    """Return a time span as people say it, such as `12 min`; what is negative counts as none."""
    for size, unit in ((_DAY_S, "days"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def count_of(number: int, noun: str) -> str:
    """Return such as `1 message` or `2 messages`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
