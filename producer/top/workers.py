"""The workers as lines of a table: how fast each works, what it runs, and when it was last heard of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.operations.text import duration
from producer.top.text import Letters, number, share, size
from producer.top.tracking import images_of, key_of

if TYPE_CHECKING:
    from producer.client.workers import LiveWorker
    from producer.operations.stats.rates import Rates
    from producer.top.tracking import Key, Snapshot

SORTS = ("rate", "batch fill", "errors", "name")
_UNKNOWN = "-"
_MAX = 1e18


@dataclass(frozen=True)
class Row:
    """One worker. What is not known is `-`, and last when sorted.

    Attributes:
        key: What tells it apart.
        node: The name of its node.
        model: The model.
        device: The device of the model.
        precision: The precision of the model.
        jobs: The jobs in flight and the most that may be; or `queries`, if it only answers those.
        images: Images each second.
        fill: The mean share of the largest batch, from 0 to 1.
        busy: The share of the time in which the model computed, from 0 to 1.
        errors: Failed and retried attempts each minute.
        memory: The memory that it takes.
        heard_s: Seconds since its heartbeat.
        store_away: Whether MongoDB is away from it.
        details: What else it says, by name.
    """

    key: Key
    node: str
    model: str
    device: str
    precision: str
    jobs: str
    images: float | None
    fill: float | None
    busy: float | None
    errors: float | None
    memory: str
    heard_s: float
    store_away: bool
    details: dict[str, str]

    def rates(self) -> tuple[str, str, str, str]:
        """Return the texts of images, fill, busy and errors."""
        images, errors = (_UNKNOWN if rate is None else number(rate) for rate in (self.images, self.errors))
        fill, busy = (_UNKNOWN if part is None else share(part) for part in (self.fill, self.busy))
        return images, fill, busy, errors

    @property
    def heard(self) -> str:
        """How long ago its heartbeat was."""
        return duration(self.heard_s)


def rows_of(snapshot: Snapshot, letters: Letters) -> list[Row]:
    """Return the workers of a snapshot."""
    now_s = snapshot.reading.at_s
    return [
        _row(worker, snapshot.paces[key_of(worker.heartbeat)], now_s, letters) for worker in snapshot.reading.workers
    ]


def sort_rows(rows: list[Row], sort: str) -> list[Row]:
    """Return the workers sorted in one of the SORTS; the highest is first."""
    keys: dict[str, Any] = {
        "rate": lambda row: (-(row.images or 0), row.node),
        "batch fill": lambda row: (-(row.fill or 0), row.node),
        "errors": lambda row: (-(row.errors or 0), row.node),
        "name": lambda row: row.node,
    }
    return sorted(rows, key=keys[sort])


def _row(worker: LiveWorker, pace: Rates, now_s: float, letters: Letters) -> Row:
    heartbeat: Any = worker.heartbeat
    stats = heartbeat.get("stats") or {}
    jobs = f"{_count(stats.get('in_flight'))}/{_count(heartbeat['concurrency'])}"
    return Row(
        key=key_of(worker.heartbeat),
        node=letters.inert(heartbeat["node"]),
        model=letters.inert(heartbeat["model"]),
        device=letters.inert(heartbeat["device"]),
        precision=letters.inert(heartbeat["precision"]),
        jobs=jobs if heartbeat.get("images", True) else "queries",
        images=images_of(pace) if pace.workers else None,
        fill=pace.batch_fill,
        busy=pace.model_busy,
        errors=(pace.failed + pace.retried) * 60 if pace.workers else None,
        memory=size(stats["rss_bytes"]) if _is_count(stats.get("rss_bytes")) else _UNKNOWN,
        heard_s=max(now_s - (heartbeat["at"] / 1e3 - worker.ahead_s), 0),
        store_away=heartbeat["store_away"],
        details=_details(heartbeat, stats, now_s + worker.ahead_s, letters),
    )


def _details(heartbeat: Any, stats: Any, now_s: float, letters: Letters) -> dict[str, str]:
    counts = {name: stats.get(name) for name in ("done", "skipped", "failed", "retried", "requeued", "queries")}
    shown = ", ".join(f"{count:,} {name}" for name, count in counts.items() if _is_count(count))
    return {
        "version": letters.inert(heartbeat["version"]),
        "writes to": letters.inert(f"{heartbeat['database']}.{heartbeat['collection']}"),
        "started": f"{duration(now_s - heartbeat['started_at'] / 1e3)} ago",
        "since then": shown or "this version of the worker does not say",
        "largest batch": _count(heartbeat.get("batch_size")),
    }


def _count(value: Any) -> str:
    return f"{value:.0f}" if _is_count(value) else _UNKNOWN


def _is_count(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MAX
