"""How text of unknown origin is shown."""

from __future__ import annotations

_MAX_CHARS = 80


def printable(text: str, max_chars: int = _MAX_CHARS) -> str:
    """Return a text of unknown origin in a form that is safe to print: one line, no control characters, truncated."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: max_chars + 1])
    return shown if len(shown) <= max_chars else shown[:max_chars] + "..."
