"""The workers as lines of a table: how fast each works, what it runs, and when it was last heard of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from producer.top.text import Letters, number, share, since, size

if TYPE_CHECKING:
    from producer.client.workers import LiveWorker
    from producer.top.rates import Pace, Rates
    from producer.top.reading import Reading

SORTS = ("rate", "batch fill", "errors", "name")
_UNKNOWN = "-"


@dataclass(frozen=True)
class Row:
    """One worker; what is not known is `-`.

    Attributes:
        key: What tells it apart.
        node: The name of its node.
        model: The model.
        device: The device of the model.
        precision: The precision of the model.
        jobs: The jobs in flight and the most that may be; or `queries`, if it only answers those.
        pace: How fast it works.
        memory: The memory that it takes.
        heard_s: Seconds since its heartbeat.
        store_away: Whether MongoDB is away from it.
        details: What else it says, by name.
    """

    key: tuple[str, int]
    node: str
    model: str
    device: str
    precision: str
    jobs: str
    pace: Pace
    memory: str
    heard_s: float
    store_away: bool
    details: dict[str, str]

    @property
    def images(self) -> str:
        """Images each second."""
        return _UNKNOWN if self.pace.images is None else number(self.pace.images)

    @property
    def fill(self) -> str:
        """The mean share of the largest batch."""
        return _UNKNOWN if self.pace.fill is None else share(self.pace.fill)

    @property
    def busy(self) -> str:
        """The share of the time that the model was busy."""
        return _UNKNOWN if self.pace.busy is None else share(self.pace.busy)

    @property
    def errors(self) -> str:
        """Failed and retried attempts each minute."""
        return _UNKNOWN if self.pace.errors is None else number(self.pace.errors)

    @property
    def heard(self) -> str:
        """How long ago its heartbeat was."""
        return since(self.heard_s)


def rows_of(reading: Reading, rates: Rates, letters: Letters, sort: str) -> list[Row]:
    """Return the workers of a reading, sorted."""
    rows = [_row(worker, rates.pace_of(worker), reading.now_s, letters) for worker in reading.workers.workers]
    keys: dict[str, Any] = {
        "rate": lambda row: (-(row.pace.images or 0), row.node),
        "batch fill": lambda row: (-(row.pace.fill or 0), row.node),
        "errors": lambda row: (-(row.pace.errors or 0), row.node),
        "name": lambda row: row.node,
    }
    return sorted(rows, key=keys[sort])


def _row(worker: LiveWorker, pace: Pace, now_s: float, letters: Letters) -> Row:
    heartbeat: Any = worker.heartbeat
    stats = heartbeat.get("stats") or {}
    in_flight, memory = stats.get("in_flight"), stats.get("rss_bytes")
    jobs = f"{in_flight if _is_count(in_flight) else _UNKNOWN}/{heartbeat['concurrency']}"
    return Row(
        key=(heartbeat["node"], heartbeat["started_at"]),
        node=letters.inert(heartbeat["node"]),
        model=letters.inert(heartbeat["model"]),
        device=letters.inert(heartbeat["device"]),
        precision=letters.inert(heartbeat["precision"]),
        jobs=letters.inert(jobs) if heartbeat.get("images", True) else "queries",
        pace=pace,
        memory=size(memory) if _is_count(memory) else _UNKNOWN,
        heard_s=max(now_s - (heartbeat["at"] / 1e3 - worker.ahead_s), 0),
        store_away=heartbeat["store_away"],
        details=_details(heartbeat, stats, now_s + worker.ahead_s, letters),
    )


def _details(heartbeat: Any, stats: Any, now_s: float, letters: Letters) -> dict[str, str]:
    counts = {name: stats.get(name) for name in ("done", "skipped", "failed", "retried", "requeued", "queries")}
    has_counts = any(_is_count(count) for count in counts.values())
    shown = ", ".join(f"{count:,} {name}" for name, count in counts.items() if _is_count(count))
    return {
        "version": letters.inert(heartbeat["version"]),
        "writes to": letters.inert(f"{heartbeat['database']}.{heartbeat['collection']}"),
        "started": f"{since(now_s - heartbeat['started_at'] / 1e3)} ago",
        "since then": shown if has_counts else "this version of the worker does not say",
        "largest batch": letters.inert(str(heartbeat.get("batch_size", _UNKNOWN))),
    }


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18  # noqa: PLR2004
