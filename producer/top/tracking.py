"""Follows the readings of the queue: what each worker does now, what all did lately, and how the speed has changed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from producer.operations.stats.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.contract.fields import WorkerHeartbeat
    from producer.operations.delayed import Delays
    from producer.operations.stats.reading import Reading

# A bar of the sparkline is as long as the time between two heartbeats. Half an hour of bars is kept.
BAR_S = 10.0
_BARS = 180
# What all did lately is of the last three times between two heartbeats: half a minute.
_HEARTBEATS = 4
_GROWTH_S = 30.0

Key = tuple[str, int]


@dataclass(frozen=True)
class Snapshot:
    """What a screen shows of the queue and the workers.

    Attributes:
        reading: The reading.
        at: When it was taken, by this machine's clock.
        recent: What all workers did in the last half minute, or on average since they started.
        paces: What each worker does, by its last two heartbeats, or on average since it started.
        images: Images through the models each second, as the sum of `paces`.
        growth: How many jobs more there are each second, in the last half minute; None after the first reading.
        bars: Images each second, in the mean of each BAR_S, the newest last.
        delays: When the delayed jobs are due; None if there are none.
    """

    reading: Reading
    at: datetime
    recent: Rates
    paces: Mapping[Key, Rates]
    images: float
    growth: float | None
    bars: tuple[float, ...]
    delays: Delays | None = None


def key_of(heartbeat: WorkerHeartbeat) -> Key:
    """Return what tells a worker process apart. A node that has started again is another one."""
    return heartbeat["node"], heartbeat["started_at"]


def images_of(pace: Rates) -> float:
    """Return the images through the models each second."""
    return pace.sums.images / pace.span_s if pace.span_s else 0.0


@dataclass
class Tracker:
    """Remembers the last heartbeats of each live worker, the last lengths of the queue, and the bars."""

    _heartbeats: dict[Key, deque[WorkerHeartbeat]] = field(default_factory=dict)
    _lengths: deque[tuple[float, int]] = field(default_factory=deque)
    _bars: deque[float] = field(default_factory=lambda: deque(maxlen=_BARS))
    _bar: list[float] = field(default_factory=list)
    _bar_since_s: float | None = None

    def add(self, reading: Reading, delays: Delays | None = None) -> Snapshot:
        """Take the next reading, and return what there is to show."""
        self._heartbeats = {key_of(heartbeat): self._with(heartbeat) for heartbeat in reading.heartbeats}
        paces = {key: Rates.of([(last[-2] if len(last) > 1 else None, last[-1])]) for key, last in self._known()}
        recent = Rates.of((last[0] if len(last) > 1 else None, last[-1]) for _, last in self._known())
        images = sum(map(images_of, paces.values()))
        self._add_bar(reading.at_s, images, is_known=any(pace.is_recent for pace in paces.values()))
        growth = self._grown(reading)
        return Snapshot(reading, datetime.now(UTC), recent, paces, images, growth, self._shown_bars(), delays)

    def _known(self) -> list[tuple[Key, deque[WorkerHeartbeat]]]:
        return list(self._heartbeats.items())

    def _with(self, heartbeat: WorkerHeartbeat) -> deque[WorkerHeartbeat]:
        known = self._heartbeats.get(key_of(heartbeat), deque(maxlen=_HEARTBEATS))
        if known and known[-1]["at"] > heartbeat["at"]:  # its clock was set back
            known.clear()
        if not known or known[-1]["at"] != heartbeat["at"]:
            known.append(heartbeat)
        return known

    def _grown(self, reading: Reading) -> float | None:
        self._lengths.append((reading.at_s, reading.jobs))
        while self._lengths[0][0] < reading.at_s - _GROWTH_S:
            self._lengths.popleft()
        since_s, before = self._lengths[0]
        return (reading.jobs - before) / (reading.at_s - since_s) if reading.at_s > since_s else None

    def _add_bar(self, now_s: float, images: float, *, is_known: bool) -> None:
        if self._bar_since_s is None or now_s - self._bar_since_s >= BAR_S:
            if self._bar:
                self._bars.append(sum(self._bar) / len(self._bar))
            self._bar, self._bar_since_s = [], now_s
        if is_known:
            self._bar.append(images)

    def _shown_bars(self) -> tuple[float, ...]:
        """Return the bars, with the one that is not yet full."""
        return (*self._bars, sum(self._bar) / len(self._bar)) if self._bar else tuple(self._bars)
