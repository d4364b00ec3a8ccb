"""What the workers' notes on Redis mean: who is alive, and whether they agree with each other and with this shell."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from producer.contract.text import printable
from producer.operations.doctor.findings import Finding, count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.contract.fields import WorkerHeartbeat
    from producer.operations.workers import LiveWorkers

Setting = Literal["visibility_timeout_s", "database", "collection", "upsert"]

# What workers of one queue must agree about, its variable, and what comes of it if they do not.
_SHARED: dict[Setting, tuple[str, str]] = {
    "visibility_timeout_s": ("CLIPQUEUE_VISIBILITY_TIMEOUT_S", "a job is given to a second worker after the shortest"),
    "database": ("the database in MONGODB_URI", "which one gets a vector is left to chance"),
    "collection": ("CLIPQUEUE_COLLECTION", "which one gets a vector is left to chance"),
    "upsert": ("CLIPQUEUE_UPSERT", "whether an image without a document gets one is left to chance"),
}
_SHOWN = 10


def worker_findings(live: LiveWorkers, here: tuple[str, str] | None) -> list[Finding]:
    """Return what there is to say of the workers.

    Args:
        live: What they say of themselves.
        here: The database and the collection that this shell's settings name, if they are known.
    """
    notes = [worker.note for worker in live.workers]
    findings = [_alive(notes)]
    if live.unreadable:
        findings.append(_unreadable(live.unreadable))
    if notes:
        findings += [_models(notes), _settings(notes, here), _store(notes)]
    return findings


def _alive(notes: Sequence[WorkerHeartbeat]) -> Finding:
    if not notes:
        return Finding.look(
            "workers",
            "none is alive: nothing takes jobs off this queue",
            "Start one with this REDIS_URL: celery -A worker.app worker. If one should run, look into its log.",
        )
    lines = [f"{count_of(len(notes), 'worker')} alive:", *map(_describe, notes[:_SHOWN])]
    if len(notes) > _SHOWN:
        lines.append(f"and {len(notes) - _SHOWN} more")
    return Finding.well("workers", *lines)


def _describe(note: WorkerHeartbeat) -> str:
    since = datetime.fromtimestamp(note["started_at"] / 1e3, UTC)
    return (
        f"{printable(note['node'])} since {since:%Y-%m-%d %H:%M:%S} UTC, {printable(note['model'])}, "
        f"{note['concurrency']} images at once, clipqueue {printable(note['version'])}"
    )


def _unreadable(count: int) -> Finding:
    return Finding.look(
        "worker notes",
        f"{count_of(count, 'note')} of workers cannot be read",
        "Most likely they run another version of clipqueue than this command: install one version everywhere.",
    )


def _models(notes: Sequence[WorkerHeartbeat]) -> Finding:
    by_model = defaultdict(list)
    for note in notes:
        by_model[note["model"]].append(note["node"])
    if len(by_model) == 1:
        return Finding.well("model", f"all workers make vectors with {printable(notes[0]['model'])}")
    return Finding.look(
        "model",
        "the workers run different models, whose vectors cannot be compared:",
        *(f"{printable(model)}: {_names(nodes)}" for model, nodes in sorted(by_model.items())),
        "Give all the same CLIP_MODEL and CLIP_PRETRAINED. If you are changing the model: once all have the new one, "
        "run clipqueue backfill --url-field FIELD --only stale",
    )


def _settings(notes: Sequence[WorkerHeartbeat], here: tuple[str, str] | None) -> Finding:
    lines = [line for setting in _SHARED for line in _disagreement(notes, setting)]
    if here:
        lines += _elsewhere(notes, here)
    if lines:
        return Finding.look("settings", *lines, "Give all of them the same value, then start them anew.")
    agreed = f"collection {printable(notes[0]['collection'])!r} of database {printable(notes[0]['database'])!r}"
    return Finding.well("settings", f"all agree, and write into {agreed}")


def _disagreement(notes: Sequence[WorkerHeartbeat], setting: Setting) -> list[str]:
    nodes = defaultdict(list)
    for note in notes:
        nodes[str(note[setting])].append(note["node"])
    if len(nodes) == 1:
        return []
    variable, consequence = _SHARED[setting]
    values = "; ".join(f"{printable(value)} ({_names(who)})" for value, who in sorted(nodes.items()))
    return [f"the workers disagree about {variable}: {values}. So {consequence}."]


def _elsewhere(notes: Sequence[WorkerHeartbeat], here: tuple[str, str]) -> list[str]:
    others = [note["node"] for note in notes if (note["database"], note["collection"]) != here]
    if not others:
        return []
    database, collection = map(printable, here)
    place = f"collection {collection!r} of database {database!r}"
    return [
        f"this shell's settings (MONGODB_URI, CLIPQUEUE_COLLECTION) mean {place}, but not those of {_names(others)}"
    ]


def _store(notes: Sequence[WorkerHeartbeat]) -> Finding:
    away = [note["node"] for note in notes if note["store_away"]]
    if not away:
        return Finding.well("workers' MongoDB", "it answers all of them")
    return Finding.look(
        "workers' MongoDB",
        f"it does not answer {_names(away)}: they take no jobs until it does",
        "See that MongoDB runs and can be reached from there; they go on by themselves.",
    )


def _names(nodes: Sequence[str]) -> str:
    shown = ", ".join(map(printable, nodes[:3]))
    return shown if len(nodes) <= 3 else f"{shown} and {len(nodes) - 3} more"  # noqa: PLR2004
