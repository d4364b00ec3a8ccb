"""Checks the workers' heartbeats: which workers are alive, and whether their settings agree, also with this shell's."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from producer.contract.names import HEARTBEAT_TTL_S
from producer.contract.text import printable
from producer.operations.doctor.findings import Finding
from producer.operations.text import count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.client.workers import LiveWorkers
    from producer.contract.fields import WorkerHeartbeat

Setting = Literal["visibility_timeout_s", "database", "collection", "upsert"]

# The settings that all workers of a queue must share: the variable, and the consequence of different values.
_SHARED: dict[Setting, tuple[str, str]] = {
    "visibility_timeout_s": ("CLIPQUEUE_VISIBILITY_TIMEOUT_S", "the shortest one makes other workers' jobs run twice"),
    "database": ("the database in MONGODB_URI", "a vector goes to the database of the worker that runs the job"),
    "collection": ("CLIPQUEUE_COLLECTION", "a vector goes to the collection of the worker that runs the job"),
    "upsert": ("CLIPQUEUE_UPSERT", "the worker that runs the job decides if a missing document is created"),
}
_MAX_SHOWN = 10
_MAX_NAMES = 3


def worker_findings(live: LiveWorkers, namespace: tuple[str, str] | None) -> list[Finding]:
    """Return the findings on the workers.

    Args:
        live: The live workers.
        namespace: The database and the collection in this shell's settings, if they are known.
    """
    heartbeats, consumers = live.heartbeats, live.consumers
    findings = [_check_alive(heartbeats, len(consumers))]
    if live.unreadable:
        findings.append(_unreadable(live.unreadable))
    findings += _check_names(heartbeats)
    if heartbeats:
        findings.append(_check_models(heartbeats))
    if consumers:
        findings += [_check_precision(consumers), _check_settings(consumers, namespace), _check_store(consumers)]
    return findings


def _check_alive(heartbeats: Sequence[WorkerHeartbeat], consumers: int) -> Finding:
    if not heartbeats:
        return Finding.problem(
            "workers",
            "none is alive: nothing consumes this queue",
            "Start one with this REDIS_URL: celery -A worker.app worker. If one should be running, check its log.",
        )
    lines = [f"{count_of(len(heartbeats), 'worker')} alive:", *map(_describe, heartbeats[:_MAX_SHOWN])]
    if len(heartbeats) > _MAX_SHOWN:
        lines.append(f"and {len(heartbeats) - _MAX_SHOWN} more")
    if not consumers:
        advice = "None of them consumes this queue: start one with CLIPQUEUE_SERVE=images,queries or images."
        return Finding.problem("workers", *lines, advice)
    return Finding.ok("workers", *lines)


def _describe(heartbeat: WorkerHeartbeat) -> str:
    since = datetime.fromtimestamp(heartbeat["started_at"] / 1e3, UTC)
    return (
        f"{printable(heartbeat['node'])} since {since:%Y-%m-%d %H:%M:%S} UTC, {printable(heartbeat['model'])}, "
        f"{printable(heartbeat['precision'])} on {printable(heartbeat['device'])}, "
        f"{_describe_service(heartbeat)}, clipqueue {printable(heartbeat['version'])}"
    )


def _describe_service(heartbeat: WorkerHeartbeat) -> str:
    images = f"{heartbeat['concurrency']} images at once" if heartbeat.get("images", True) else ""
    return " and ".join(filter(None, (images, "queries" if heartbeat.get("queries") else "")))


def _unreadable(count: int) -> Finding:
    return Finding.problem(
        "heartbeats",
        f"{count_of(count, 'heartbeat')} of workers cannot be read",
        "Probably these workers run another version of clipqueue than this command: install one version everywhere.",
    )


def _check_names(heartbeats: Sequence[WorkerHeartbeat]) -> list[Finding]:
    counts = Counter(heartbeat["node"] for heartbeat in heartbeats)
    lines = [f"{count} workers are called {printable(node)}" for node, count in counts.items() if count > 1]
    if not lines:
        return []
    advice = (
        "Celery's commands and Flower take them for one: leave -n out, or give each worker its own name. If one of "
        f"them has just been killed, this ends within {HEARTBEAT_TTL_S} s."
    )
    return [Finding.problem("node names", *lines[:_MAX_SHOWN], advice)]


def _check_models(heartbeats: Sequence[WorkerHeartbeat]) -> Finding:
    return _check_same(
        heartbeats,
        "model",
        "all workers run",
        "the workers run different models, whose vectors cannot be compared:",
        "Set the same CLIP_MODEL and CLIP_PRETRAINED for all. During a change of model: once all workers run the new "
        "one, run clipqueue backfill --url-field FIELD --only stale",
    )


def _check_precision(heartbeats: Sequence[WorkerHeartbeat]) -> Finding:
    return _check_same(
        heartbeats,
        "precision",
        "all workers run in",
        "the workers run in different precisions, so the vector of an image depends a little on its worker:",
        "Set CLIPQUEUE_PRECISION to one of them for all, then restart the workers. The cosine similarity of two such "
        "vectors is about 0.9999, so no vector needs to be computed again.",
    )


def _check_same(
    heartbeats: Sequence[WorkerHeartbeat], field: Literal["model", "precision"], same: str, different: str, advice: str
) -> Finding:
    """Check that all workers have one value of a field."""
    nodes = defaultdict(list)
    for heartbeat in heartbeats:
        nodes[heartbeat[field]].append(heartbeat["node"])
    if len(nodes) == 1:
        return Finding.ok(field, f"{same} {printable(heartbeats[0][field])}")
    lines = (f"{printable(value)}: {_names(names)}" for value, names in sorted(nodes.items()))
    return Finding.problem(field, different, *lines, advice)


def _check_settings(heartbeats: Sequence[WorkerHeartbeat], namespace: tuple[str, str] | None) -> Finding:
    lines = [line for setting in _SHARED for line in _differences(heartbeats, setting)]
    if namespace:
        lines += _elsewhere(heartbeats, namespace)
    if lines:
        return Finding.problem("settings", *lines, "Set the same value for all, then restart the workers.")
    database, collection = printable(heartbeats[0]["database"]), printable(heartbeats[0]["collection"])
    return Finding.ok("settings", f"all agree, and write to collection {collection!r} of database {database!r}")


def _differences(heartbeats: Sequence[WorkerHeartbeat], setting: Setting) -> list[str]:
    nodes_by_value = defaultdict(list)
    for heartbeat in heartbeats:
        nodes_by_value[str(heartbeat[setting])].append(heartbeat["node"])
    if len(nodes_by_value) == 1:
        return []
    variable, consequence = _SHARED[setting]
    values = "; ".join(f"{printable(value)} ({_names(nodes)})" for value, nodes in sorted(nodes_by_value.items()))
    return [f"the workers have different values of {variable}: {values}. So {consequence}."]


def _elsewhere(heartbeats: Sequence[WorkerHeartbeat], namespace: tuple[str, str]) -> list[str]:
    others = [one["node"] for one in heartbeats if (one["database"], one["collection"]) != namespace]
    if not others:
        return []
    database, collection = map(printable, namespace)
    used = f"collection {collection!r} of database {database!r}"
    verb = "does" if len(others) == 1 else "do"
    return [f"this shell (MONGODB_URI, CLIPQUEUE_COLLECTION) uses {used}, but {_names(others)} {verb} not"]


def _check_store(heartbeats: Sequence[WorkerHeartbeat]) -> Finding:
    waiting = [heartbeat["node"] for heartbeat in heartbeats if heartbeat["store_away"]]
    if not waiting:
        return Finding.ok("workers' MongoDB", "it answers all of them")
    return Finding.problem(
        "workers' MongoDB",
        f"it does not answer {_names(waiting)}: consumption is paused there",
        "Check that MongoDB runs and can be reached from there; the workers then continue automatically.",
    )


def _names(nodes: Sequence[str]) -> str:
    shown = ", ".join(map(printable, nodes[:_MAX_NAMES]))
    return shown if len(nodes) <= _MAX_NAMES else f"{shown} and {len(nodes) - _MAX_NAMES} more"
