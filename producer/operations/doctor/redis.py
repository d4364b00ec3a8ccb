"""What `clipqueue doctor` asks of Redis as a server: its version, and whether it keeps what it is given.

All of it comes from INFO: a hosted Redis often refuses CONFIG.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from producer.contract.text import printable
from producer.operations.doctor.findings import Finding, count_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_OLDEST = (6, 2)
_FULL_PERCENT = 70
_MIB = 1 << 20


def server_findings(answers: Mapping[str, Any], host: str) -> list[Finding]:
    """Return what Redis' answer to INFO means."""
    return [_server(answers, host), _eviction(answers), _persistence(answers), _memory(answers)]


def _server(answers: Mapping[str, Any], host: str) -> Finding:
    if "valkey_version" in answers:  # all of its versions are new enough
        return Finding.well("redis", f"Valkey {printable(str(answers['valkey_version']))} answers at {host}")
    version = str(answers.get("redis_version", "of an unknown version"))
    shown = f"Redis {printable(version)} answers at {host}"
    if (found := _numbers(version)) and found < _OLDEST:
        return Finding.look(
            "redis",
            shown,
            "Upgrade it to 6.2 or newer: workers take messages by a command (LMOVE) that older ones lack.",
        )
    return Finding.well("redis", shown)


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"(\d{1,6})\.(\d{1,6})", version)
    return tuple(map(int, match.groups())) if match else ()


def _eviction(answers: Mapping[str, Any]) -> Finding:
    policy = answers.get("maxmemory_policy")
    if policy == "noeviction":
        return Finding.well("eviction", "maxmemory-policy is noeviction")
    return Finding.look(
        "eviction",
        f"maxmemory-policy is {printable(str(policy))}: a full Redis would delete messages"
        if policy
        else "this Redis does not say what it does when it is full",
        "Set it, here and in its configuration: CONFIG SET maxmemory-policy noeviction",
    )


def _persistence(answers: Mapping[str, Any]) -> Finding:
    broken = [
        f"the last {what} failed"
        for key, what in (
            ("aof_last_write_status", "write to the append-only file"),
            ("aof_last_bgrewrite_status", "rewrite of the append-only file"),
            ("rdb_last_bgsave_status", "snapshot"),
        )
        if answers.get(key, "ok") != "ok"
    ]
    if broken:
        return Finding.look(
            "persistence",
            " and ".join(broken) + ": Redis may refuse every write until it is repaired",
            "Look into its log, and at the free space of its disk.",
        )
    if answers.get("aof_enabled") == 1:
        return Finding.well("persistence", "appendonly is on, and its last write went well")
    return _snapshots_only(answers)


def _snapshots_only(answers: Mapping[str, Any]) -> Finding:
    changes, saved = answers.get("rdb_changes_since_last_save"), answers.get("rdb_last_save_time")
    lost = "what was written since its last snapshot"
    if isinstance(changes, int) and isinstance(saved, int) and 0 < saved < 1 << 40:
        since = datetime.fromtimestamp(saved, UTC)
        lost = f"{count_of(changes, 'change')} made since {since:%Y-%m-%d %H:%M:%S} UTC"
    return Finding.look(
        "persistence",
        f"appendonly is off: a crash of Redis now would lose {lost}, messages in flight included",
        "Set it, here and in its configuration: CONFIG SET appendonly yes",
    )


def _memory(answers: Mapping[str, Any]) -> Finding:
    used, maxmemory, machine = (
        int(answers.get(key) or 0) for key in ("used_memory", "maxmemory", "total_system_memory")
    )
    limit = maxmemory or machine
    if not limit:
        return Finding.well("memory", f"{used / _MIB:,.1f} MiB used; how much there is, this Redis does not say")
    percent = 100 * used / limit
    of_what = "of maxmemory" if maxmemory else "of the machine's memory (maxmemory is not set)"
    shown = f"{used / _MIB:,.1f} MiB used, {percent:.0f} % {of_what}"
    if percent < _FULL_PERCENT:
        return Finding.well("memory", shown)
    return Finding.look(
        "memory",
        f"{shown}: a full Redis refuses new jobs",
        "Start more workers so that the queue shrinks, enqueue more slowly, or give Redis more memory.",
    )
