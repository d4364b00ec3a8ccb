"""The result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: What was checked, such as `eviction`.
        is_ok: There is no problem.
        lines: What was found. For a problem, the last line says what to do or what the consequence is. A single
            line holds the problem and the advice.
    """

    subject: str
    is_ok: bool
    lines: tuple[str, ...]

    @classmethod
    def ok(cls, subject: str, *lines: str) -> Self:
        """Make a finding without a problem."""
        return cls(subject, is_ok=True, lines=lines)

    @classmethod
    def problem(cls, subject: str, *lines: str) -> Self:
        """Make a finding with a problem."""
        return cls(subject, is_ok=False, lines=lines)
