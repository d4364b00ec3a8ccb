"""The API's keys: which keys there are, and what each may do. A key itself is never kept, only its SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

SEARCH, ENQUEUE = "search", "enqueue"
SCOPES = (SEARCH, ENQUEUE)
_MIN_CHARS = 16
_KEY = re.compile(rf"[!-+\--9;-~]{{{_MIN_CHARS},512}}")  # printable ASCII without comma and colon
_NAME_CHARS = 8


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        name: What logs call it: the first digits of its SHA-256.
        digest: Its SHA-256.
        scopes: What it may do: `search`, `enqueue` or both.
    """

    name: str
    digest: bytes
    scopes: frozenset[str]


def parse_keys(text: str) -> tuple[Key, ...]:
    """Read keys that are separated by commas: `first-long-key-0001,second-long-key-002:search`.

    Raises:
        ValueError: A key is too short, has a character that is not allowed, appears twice, or has an unknown scope. The
            message repeats no key.
    """
    parts = [part.strip() for part in text.split(",")]
    keys = tuple(_parse_key(part, number) for number, part in enumerate(parts, 1) if part)
    if len({key.digest for key in keys}) < len(keys):
        raise ValueError("a key appears twice")
    return keys


def find_key(keys: tuple[Key, ...], given: str) -> Key | None:
    """Return the key that a request gave. It takes the same time whether one matches or none, and whichever matches."""
    digest = _digest(given)
    found = None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def _parse_key(part: str, number: int) -> Key:
    secret, colon, scope = part.partition(":")
    if colon and scope not in SCOPES:
        raise ValueError(f"key {number} ends with a colon and no known scope; write {' or '.join(SCOPES)} after it")
    if not _KEY.fullmatch(secret):
        raise ValueError(
            f"key {number} must have {_MIN_CHARS} to 512 printable ASCII characters, none of them a comma or colon; "
            "`openssl rand -hex 16` makes a good one"
        )
    digest = _digest(secret)
    return Key(digest.hex()[:_NAME_CHARS], digest, frozenset([scope] if colon else SCOPES))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
