"""Rules for untrusted text: whether it can be stored, and how it is shown on a terminal."""

from __future__ import annotations

from .errors import InvalidJob


def check_text(name: str, text: str) -> None:
    """Check that MongoDB and JSON can hold a text.

    Args:
        name: What the text is, for the error.
        text: The text.

    Raises:
        InvalidJob: It contains a null character or a lone surrogate.
    """
    if "\x00" in text:
        raise InvalidJob(f"{name} contains a null character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidJob(f"{name} is not valid Unicode text (it has a lone surrogate)") from None


def printable(text: str, max_chars: int = 80) -> str:
    """Return a text of unknown origin as one line without control characters, truncated to `max_chars` characters."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: max_chars + 1])
    return shown if len(shown) <= max_chars else shown[:max_chars] + "..."
