"""Formats numbers and untrusted text for a terminal."""

from __future__ import annotations

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_MAX_CHARS = 80


def printable(text: str, max_chars: int = _MAX_CHARS) -> str:
    """Return untrusted text as one line without control characters, truncated to `max_chars`."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: max_chars + 1])
    return shown if len(shown) <= max_chars else shown[:max_chars] + "..."


def duration(seconds: float) -> str:
    """Return a time span such as `12 min`; a negative one counts as `0 s`."""
    for size, unit in ((_DAY_S, "days"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 message` or `2 messages`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
