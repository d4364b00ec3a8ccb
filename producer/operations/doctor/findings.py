"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

Outcome = Literal["ok", "fail", "unknown"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: What was checked, such as `eviction`.
        outcome: `ok`: there is no problem. `fail`: somebody must do something. `unknown`: the server does not tell, so
            there may be a problem or none.
        lines: What was found. For a problem, the last line says what to do or what the consequence is. For an unknown,
            the last line says how to find out. A single line holds both.
    """

    subject: str
    outcome: Outcome
    lines: tuple[str, ...]

    @property
    def is_ok(self) -> bool:
        """Whether the check found no problem; false if it could not tell."""
        return self.outcome == "ok"

    @classmethod
    def ok(cls, subject: str, *lines: str) -> Self:
        """Make a finding without a problem."""
        return cls(subject, "ok", lines)

    @classmethod
    def problem(cls, subject: str, *lines: str) -> Self:
        """Make a finding with a problem."""
        return cls(subject, "fail", lines)

    @classmethod
    def unknown(cls, subject: str, *lines: str) -> Self:
        """Make a finding of what could not be asked."""
        return cls(subject, "unknown", lines)
