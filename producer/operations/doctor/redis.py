"""Checks the Redis server: its version, eviction, persistence and memory.

All checks use INFO, because hosted Redis servers often refuse CONFIG. They may also leave fields out of INFO, or refuse
it; then the finding is unknown.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from producer.contract.names import IMAGE_QUEUE
from producer.contract.redis_reasons import reason_of
from producer.contract.text import printable
from producer.operations.doctor.findings import Finding
from producer.operations.doctor.refusals import refused
from producer.operations.text import count_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis import Redis

_MIN_VERSION = (6, 2)
_MAX_USED_PERCENT = 70
_MIB = 1 << 20
_NEEDED_VERSION = "Workers need Redis 6.2 or newer, or Valkey: see your provider's pages."
_ASK_FOR_EVICTION = "See your provider's settings: with noeviction, a full Redis refuses jobs and deletes nothing."
_ASK_FOR_PERSISTENCE = (
    "See your provider's settings: without appendonly or copies elsewhere, a crash of Redis loses the queue. "
    "clipqueue sweep enqueues recorded jobs again."
)
_ASK_FOR_MEMORY = "See your provider's settings: a full Redis refuses new jobs."


def server_findings(redis: Redis, host: str) -> list[Finding]:
    """Ask Redis about itself. Raises what redis-py raises if it does not answer."""

    def may_configure() -> bool:
        try:
            return bool(redis.config_get("appendonly"))
        except ResponseError:
            return False

    try:
        info: Any = redis.info()
    except ResponseError as exc:
        return [
            _check_answer(redis, host, exc),
            refused("eviction", exc, _ASK_FOR_EVICTION),
            refused("persistence", exc, _ASK_FOR_PERSISTENCE),
            refused("memory", exc, _ASK_FOR_MEMORY),
        ]
    return findings_of(info, host, may_configure)


def findings_of(info: Mapping[str, Any], host: str, may_configure: Callable[[], bool]) -> list[Finding]:
    """Return the findings from Redis' answer to INFO.

    Args:
        info: The answer.
        host: What messages call the server.
        may_configure: Asks whether this user may read the configuration, which a hosted Redis often refuses.
    """
    return [
        _check_version(info, host),
        _check_eviction(info),
        _check_persistence(info, may_configure),
        _check_memory(info),
    ]


def _check_answer(redis: Redis, host: str, exc: ResponseError) -> Finding:
    """Check that this user, who may not ask for INFO, can use the queue at all."""
    try:
        redis.llen(IMAGE_QUEUE)
    except ResponseError as other:
        todo = "Check the user in REDIS_URL; docs/deployment.md lists the commands that it needs."
        return Finding.problem("redis", f"Redis at {host} refuses INFO and the queue: {reason_of(other)}", todo)
    refusal = refused("redis", exc, _NEEDED_VERSION)
    return Finding(refusal.subject, refusal.outcome, (f"Redis answers at {host}", *refusal.lines))


def _check_version(info: Mapping[str, Any], host: str) -> Finding:
    if "valkey_version" in info:  # every Valkey is new enough
        return Finding.ok("redis", f"Valkey {printable(str(info['valkey_version']))} answers at {host}")
    if "redis_version" not in info:
        return Finding.unknown("redis", f"Redis answers at {host}, but does not report its version", _NEEDED_VERSION)
    version = str(info["redis_version"])
    shown = f"Redis {printable(version)} answers at {host}"
    if (numbers := _parse_version(version)) and numbers < _MIN_VERSION:
        return Finding.problem(
            "redis",
            shown,
            "Upgrade it to 6.2 or newer: workers need the command LMOVE, which older versions lack.",
        )
    return Finding.ok("redis", shown)


def _parse_version(version: str) -> tuple[int, ...]:
    match = re.match(r"(\d{1,6})\.(\d{1,6})", version)
    return tuple(map(int, match.groups())) if match else ()


def _check_eviction(info: Mapping[str, Any]) -> Finding:
    policy = info.get("maxmemory_policy")
    if policy == "noeviction":
        return Finding.ok("eviction", "maxmemory-policy is noeviction")
    if not policy:
        return Finding.unknown("eviction", "this Redis does not report its maxmemory-policy", _ASK_FOR_EVICTION)
    lost = "heartbeats and queries" if str(policy).startswith("volatile-") else "messages"
    return Finding.problem(
        "eviction",
        f"maxmemory-policy is {printable(str(policy))}: Redis deletes {lost} when its memory is full",
        "Set it on the server and in its configuration file: CONFIG SET maxmemory-policy noeviction. A hosted Redis "
        "has it in the provider's settings.",
    )


def _check_persistence(info: Mapping[str, Any], may_configure: Callable[[], bool]) -> Finding:
    failures = [
        f"the last {what} failed"
        for key, what in (
            ("aof_last_write_status", "write to the append-only file"),
            ("aof_last_bgrewrite_status", "rewrite of the append-only file"),
            ("rdb_last_bgsave_status", "snapshot"),
        )
        if info.get(key, "ok") != "ok"
    ]
    if failures:
        return Finding.problem(
            "persistence",
            " and ".join(failures) + ": Redis may refuse all writes until this is fixed",
            "Check its log, and the free space on its disk.",
        )
    if info.get("aof_enabled") == 1:
        return Finding.ok("persistence", "appendonly is on, and the last write succeeded")
    if "aof_enabled" not in info:
        return Finding.unknown("persistence", "this Redis does not report how it saves its data", _ASK_FOR_PERSISTENCE)
    return _snapshots_only(info, may_configure)


def _snapshots_only(info: Mapping[str, Any], may_configure: Callable[[], bool]) -> Finding:
    changes, saved = info.get("rdb_changes_since_last_save"), info.get("rdb_last_save_time")
    lost = "all changes since its last snapshot"
    if isinstance(changes, int) and isinstance(saved, int) and 0 < saved < 1 << 40:
        since = datetime.fromtimestamp(saved, UTC)
        lost = f"{count_of(changes, 'change')} made since {since:%Y-%m-%d %H:%M:%S} UTC"
    if not may_configure():  # hosted: its copies of the data are not in INFO
        shown = (
            f"appendonly is off, and this Redis does not tell what replaces it; without copies, a crash loses {lost}"
        )
        return Finding.unknown("persistence", shown, _ASK_FOR_PERSISTENCE)
    return Finding.problem(
        "persistence",
        f"appendonly is off: if Redis crashed now, it would lose {lost}, including messages in flight",
        "Set it on the server and in its configuration file: CONFIG SET appendonly yes",
    )


def _check_memory(info: Mapping[str, Any]) -> Finding:
    used, maxmemory, machine = (_number(info.get(key)) for key in ("used_memory", "maxmemory", "total_system_memory"))
    limit = maxmemory or machine
    if not used or not limit:
        known = f"{used / _MIB:,.1f} MiB used; this Redis does not report its limit" if used else "not reported"
        return Finding.unknown("memory", known, _ASK_FOR_MEMORY)
    percent = 100 * used / limit
    of_what = "of maxmemory" if maxmemory else "of the machine's memory (maxmemory is not set)"
    shown = f"{used / _MIB:,.1f} MiB used, {percent:.0f} % {of_what}"
    if percent < _MAX_USED_PERCENT:
        return Finding.ok("memory", shown)
    return Finding.problem(
        "memory",
        f"{shown}: a full Redis refuses new jobs",
        "Start more workers so that the queue shrinks, enqueue more slowly, or give Redis more memory.",
    )


def _number(found: Any) -> float:
    return found if isinstance(found, int | float) else 0
