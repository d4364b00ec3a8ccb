"""Reads the delayed messages: those of jobs that wait for their next attempt."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from producer.contract.job import MAX_TIME_MS
from producer.contract.names import DELAYED
from producer.contract.text import printable
from producer.contract.urls import check_url
from producer.operations.text import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

_SAMPLE = 100
_SHOWN_HOSTS = 3
_YEAR_S = 366 * 86_400.0
# Messages in one script: each may have 200 KB, and parsing them must not block Redis for long.
_CHUNK = 100
# From the last one due: if due messages leave the set meanwhile, none of the others is left out.
_TASK_IDS = """
local ids = {}
for i, message in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'REV')) do
    local is_json, content = pcall(cjson.decode, message)
    local headers = is_json and type(content) == 'table' and content.headers
    local id = type(headers) == 'table' and headers.id
    ids[i] = type(id) == 'string' and id or ''
end
return ids
"""


@dataclass(frozen=True)
class Delays:
    """When the delayed messages are due, and which hosts they wait for.

    Attributes:
        count: How many there are.
        now_s: The time, in seconds since the epoch by the clock of Redis.
        first_s: When the first one is due, by the same clock; 0 if there is none.
        last_s: When the last one is due.
        hosts: How many of the first hundred are for each host.
    """

    count: int
    now_s: float
    first_s: float
    last_s: float
    hosts: Mapping[str, int]

    def described(self) -> str:
        """Return when they are due, and the hosts, in words; there must be at least one message."""
        first = "now" if self.first_s <= self.now_s else f"in {self._in(self.first_s)}"
        last = f", the last in {self._in(self.last_s)}" if self.count > 1 and self.last_s > self.now_s else ""
        return f"the first is due {first}{last}; {self._described_hosts()}"

    def as_json(self) -> dict[str, Any]:
        """Return the same for a program. A time is None if there is no message."""
        first, last = (_iso(at) if self.count else None for at in (self.first_s, self.last_s))
        return {"first_due_at": first, "last_due_at": last, "hosts": dict(self.hosts)}

    def _in(self, at_s: float) -> str:
        # Another program may have given an infinite time.
        return "more than a year" if at_s - self.now_s > _YEAR_S else duration(at_s - self.now_s)

    def _described_hosts(self) -> str:
        hosts = Counter(self.hosts).most_common()
        of = f"hosts of the first {_SAMPLE}" if self.count > _SAMPLE else "hosts"
        shown = ", ".join(f"{host} ({count:,})" for host, count in hosts[:_SHOWN_HOSTS])
        more = len(hosts) - _SHOWN_HOSTS
        return f"{of}: {shown}" + (f" and {more} more" if more > 0 else "")


def read_delays(redis: Redis, now_s: float) -> Delays:
    """Return when the delayed messages are due, and which hosts they wait for. Raises what redis-py raises.

    Args:
        redis: The client.
        now_s: The time, in seconds since the epoch by the clock of Redis.
    """
    pipeline: Any = redis.pipeline()
    pipeline.zcard(DELAYED)
    pipeline.zrange(DELAYED, 0, _SAMPLE - 1, withscores=True).zrange(DELAYED, -1, -1, withscores=True)
    count, first, last = pipeline.execute()
    hosts = Counter(map(_host_of, (message for message, _ in first)))
    first_s, last_s = (found[0][1] if found else 0.0 for found in (first, last))
    return Delays(count, now_s, first_s, last_s, hosts)


class DelayedTasks:
    """The task ids of all delayed messages. They are read when one is looked for, once."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._ids: set[str] | None = None

    def __contains__(self, task_id: object) -> bool:
        if self._ids is None:
            self._ids = _read_task_ids(self._redis)
        return task_id in self._ids


def _read_task_ids(redis: Redis) -> set[str]:
    run = redis.register_script(_TASK_IDS)
    found: set[str] = set()
    start = 0
    while ids := run([DELAYED], [start, start + _CHUNK - 1]):
        found.update(task_id.decode(errors="replace") for task_id in ids)
        start += len(ids)
    return found - {""}


def _host_of(content: bytes) -> str:
    """Return the host of a message's URL; `unknown` if it cannot be read."""
    try:
        message: Any = json.loads(content)
        url = json.loads(base64.b64decode(message["body"]))[1]["url"]
        check_url(url)
        host = urlsplit(url).hostname
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        host = None
    return printable(host) if host else "unknown"


def _iso(at_s: float) -> str:
    at = datetime.fromtimestamp(min(max(at_s, 0), MAX_TIME_MS / 1e3), UTC)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
