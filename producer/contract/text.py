"""Rules for untrusted text: whether it can be stored, and how it is shown on a terminal; and the JSON of messages."""

from __future__ import annotations

import json
import re

from .errors import InvalidJob

# The JavaScript package writes the same bytes.
compact_json = json.JSONEncoder(separators=(",", ":")).encode
_readable_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
# Control and format characters, white space other than the space, private use and lone surrogates. It is a list, not a
# property of each character, because each release of Python and of JavaScript knows another version of Unicode.
_HIDDEN = re.compile(
    "[\x7f-\xa0\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u1680\u180e\u2000-\u200f\u2028-\u202f"
    "\u205f-\u2064\u2066-\u206f\u3000\ud800-\uf8ff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f\U000f0000-\U000ffffd\U00100000-\U0010fffd]"
)


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
    if len(text) <= max_chars and text.isprintable():  # most are, and this is thirty times faster
        return text
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: max_chars + 1])
    return shown if len(shown) <= max_chars else shown[:max_chars] + "..."


def without_middle(text: str, max_chars: int) -> str:
    """Return a text of at most `max_chars` characters. A longer one loses its middle, and keeps what it ends with."""
    if len(text) <= max_chars:
        return text
    half = (max_chars - 3) // 2
    return f"{text[: max_chars - 3 - half]}...{text[-half:]}"


def readable_json(value: object) -> str:
    """Return a value as compact JSON for people: only what would be invisible or change the line is escaped."""
    text = _readable_json(value)
    return text if text.isprintable() else _HIDDEN.sub(lambda found: compact_json(found[0])[1:-1], text)
