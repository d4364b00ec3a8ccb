"""Formats numbers, sizes and time spans for a terminal."""

from __future__ import annotations

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_KIB, _MIB = 1 << 10, 1 << 20


def duration(seconds: float) -> str:
    """Return a time span such as `12 min`; a negative one counts as `0 s`."""
    for size, unit in ((_DAY_S, "days"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 message` or `2 messages`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size_of(number: int) -> str:
    """Return a number of bytes, such as `512 bytes`, `1.5 KiB` or `16.0 MiB`."""
    for size, unit in ((_MIB, "MiB"), (_KIB, "KiB")):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return count_of(number, "byte")
