"""Checks the Redis server: its version, eviction, persistence and memory.

All checks use INFO, because hosted Redis servers often refuse CONFIG.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.contract.text import printable
from producer.operations.doctor.findings import Finding
from producer.operations.text import count_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIN_VERSION = (6, 2)
_MAX_USED_PERCENT = 70
_MIB = 1 << 20


def server_findings(info: Mapping[str, Any], host: str) -> list[Finding]:
    """Return the findings from Redis' answer to INFO."""
    return [_check_version(info, host), _check_eviction(info), _check_persistence(info), _check_memory(info)]


def _check_version(info: Mapping[str, Any], host: str) -> Finding:
    if "valkey_version" in info:  # every Valkey is new enough
        return Finding.ok("redis", f"Valkey {printable(str(info['valkey_version']))} answers at {host}")
    version = str(info.get("redis_version", "of an unknown version"))
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
    return Finding.problem(
        "eviction",
        f"maxmemory-policy is {printable(str(policy))}: Redis deletes messages when its memory is full"
        if policy
        else "this Redis does not report its maxmemory-policy",
        "Set it on the server and in its configuration file: CONFIG SET maxmemory-policy noeviction",
    )


def _check_persistence(info: Mapping[str, Any]) -> Finding:
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
    return _snapshots_only(info)


def _snapshots_only(info: Mapping[str, Any]) -> Finding:
    changes, saved = info.get("rdb_changes_since_last_save"), info.get("rdb_last_save_time")
    lost = "all changes since its last snapshot"
    if isinstance(changes, int) and isinstance(saved, int) and 0 < saved < 1 << 40:
        since = datetime.fromtimestamp(saved, UTC)
        lost = f"{count_of(changes, 'change')} made since {since:%Y-%m-%d %H:%M:%S} UTC"
    return Finding.problem(
        "persistence",
        f"appendonly is off: if Redis crashed now, it would lose {lost}, including messages in flight",
        "Set it on the server and in its configuration file: CONFIG SET appendonly yes",
    )


def _check_memory(info: Mapping[str, Any]) -> Finding:
    used, maxmemory, machine = (int(info.get(key) or 0) for key in ("used_memory", "maxmemory", "total_system_memory"))
    limit = maxmemory or machine
    if not limit:
        return Finding.ok("memory", f"{used / _MIB:,.1f} MiB used; this Redis does not report its limit")
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
