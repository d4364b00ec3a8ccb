"""Reads the request headers that the operator gives by host, such as `cdn.example.com: Authorization: Bearer ...`.

The values are secrets. No error repeats any part of a line, because a line without its host starts with the secret.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass, field
from pathlib import Path

_MAX_BYTES = 65_536
_HTTPS_PORT, _MAX_PORT = 443, 65_535
_LINE = re.compile(
    r"(?P<host>\[[0-9a-f:.]+\]|[\w.-]+)(:(?P<port>\d{1,5}))?\s*:"
    r"\s*(?!\d+\s*:)(?P<name>[A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*:"  # a token (RFC 9110, section 5.6.2)
    r"\s*(?P<value>[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)",
    re.IGNORECASE,
)
# The worker decides these: how the message is framed, which connection it takes, and that the whole image is asked for.
_REFUSED = re.compile(
    r"host|connection|keep-alive|content-.*|transfer-encoding|te|trailer|upgrade|expect|proxy-.*|accept-encoding"
    r"|range|if-.*|http2-settings|:.*",
    re.IGNORECASE,
)
# Both a line break and the two characters `\n`: the files of `docker run --env-file` cannot hold a line break.
_LINE_BREAK = re.compile(r"\r?\n|\\n")


@dataclass(frozen=True)
class HeaderLine:
    """A header for the requests to one host.

    Attributes:
        host: A name or an address in lower case. An IPv6 address has brackets.
        port: The TCP port.
        name: The name of the header.
        value: Its value, which is a secret.
    """

    host: str
    port: int
    name: str
    value: str = field(repr=False)


def parse_header_lines(text: str) -> tuple[HeaderLine, ...]:
    """Parse lines of the form `host: Name: value` or `host:port: Name: value`. Empty lines and `# ...` are skipped.

    Raises:
        ValueError: A line is invalid. The message has its number, and nothing of its text.
    """
    parsed: dict[tuple[str, int, str], HeaderLine] = {}
    for number, text_line in enumerate(_LINE_BREAK.split(text), 1):
        stripped = text_line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        line = _parse_line(number, stripped)
        key = line.host, line.port, line.name.lower()
        if key in parsed:
            raise ValueError(f"line {number} gives a header that an earlier line gives for the same host")
        parsed[key] = line
    return tuple(parsed.values())


def read_header_lines(path: str) -> tuple[HeaderLine, ...]:
    """Parse the lines of a file.

    Raises:
        ValueError: The file cannot be read, has more than 64 KiB, or a line is invalid.
    """
    try:
        # The settings are checked before they are used, and a pipe can be read once at most.
        if Path(path).exists() and not Path(path).is_file():
            raise OSError(errno.EINVAL, "it is a folder, a pipe or a device")
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "its name is invalid"
        raise ValueError(f"the file cannot be read: {reason}") from None
    if len(content) > _MAX_BYTES:
        raise ValueError(f"the file has more than {_MAX_BYTES} bytes")
    try:
        return parse_header_lines(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8") from None


def _parse_line(number: int, text: str) -> HeaderLine:
    match = _LINE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"line {number} is not of the form `host: Name: value`, with an exact host and a value in ASCII"
        )
    port = int(match["port"] or _HTTPS_PORT)
    if not 1 <= port <= _MAX_PORT:
        raise ValueError(f"line {number} has a port that does not exist")
    if _REFUSED.fullmatch(match["name"]):
        raise ValueError(f"line {number} gives a header that the worker sets itself, or that would change the answer")
    host = match["host"].lower().rstrip(".")
    try:
        is_invalid = not host.encode("idna")
    except UnicodeError:  # a label that is empty or too long
        is_invalid = True
    if is_invalid:
        raise ValueError(f"line {number} has an invalid host")
    return HeaderLine(host, port, match["name"], match["value"])
