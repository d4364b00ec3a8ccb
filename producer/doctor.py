"""`clipqueue doctor`: looks at the queue from outside and says what is wrong with it and what to do."""

from __future__ import annotations

import base64
import json
import re
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from producer.broker import Broker, redis_url_from_env
from producer.console import fail
from producer.contract import IMAGE_QUEUE, PARKED_LIST
from producer.errors import ClipqueueError

# A query in any spelling to the item's end, and what may hide one: the item is not of our making.
_SECRET = re.compile(r"(\?|%3f|\\u003f).*|[A-Za-z0-9+/=_-]{40,}", re.IGNORECASE | re.DOTALL)
_SHOWN = 5
_SHOWN_CHARS = 80


@dataclass(frozen=True)
class Finding:
    """What was looked at, whether it is as it should be, and lines that say so."""

    subject: str
    is_well: bool
    lines: tuple[str, ...]


@click.command()
def doctor() -> None:
    """Look at the queue, and say what is wrong with it and what to do.

    The exit code is 0 if all is well, else 1.
    """
    try:
        with closing(Broker(redis_url_from_env())) as broker:
            findings = examine(broker)
    except ClipqueueError as exc:
        fail(str(exc))
    for finding in findings:
        click.echo(f"{'ok  ' if finding.is_well else 'LOOK'}  {finding.subject}: " + "\n        ".join(finding.lines))
    sys.exit(0 if all(finding.is_well for finding in findings) else 1)


def examine(broker: Broker) -> list[Finding]:
    """Return what is found.

    Raises:
        BrokerUnavailable: Redis did not answer.
    """
    with broker.commands("did not answer") as redis:
        waiting: Any = redis.llen(IMAGE_QUEUE)
        parked: Any = redis.llen(PARKED_LIST)
        newest: Any = redis.lrange(PARKED_LIST, 0, _SHOWN - 1)
    queue = Finding("queue", is_well=True, lines=(f"{waiting} messages wait on {IMAGE_QUEUE!r} at {broker.host}",))
    return [queue, _parked(parked, newest)]


def _parked(count: int, newest: list[bytes]) -> Finding:
    if not count:
        return Finding("parked", is_well=True, lines=("nothing came off the queue that was no job",))
    return Finding(
        "parked",
        is_well=False,
        lines=(
            f"{count} items came off the queue that were no jobs; the newest:",
            *map(_describe, newest),
            f"Find the program that puts them there, then forget them: redis-cli DEL {PARKED_LIST}",
        ),
    )


def _describe(entry: bytes) -> str:
    try:
        parked = json.loads(entry)
        at = datetime.fromtimestamp(parked["parked_at"] / 1e3, UTC)
        item = base64.b64decode(parked["item"]).decode("utf-8", "replace")
        size, reason = int(parked["bytes"]), str(parked["reason"])
    except (ValueError, TypeError, KeyError, OverflowError, OSError):
        return "an entry that no worker wrote"
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {size} bytes, {_printable(reason)}: {_printable(_SECRET.sub('...', item))}"


def _printable(text: str) -> str:
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown if len(shown) <= _SHOWN_CHARS else shown[:_SHOWN_CHARS] + "..."
