"""Computes what happens each second and minute, from how the figures of one reading differ from those of the one before.

A worker's figures are sums since its start, and change with each heartbeat, every ten seconds.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producer.client.workers import LiveWorker
    from producer.top.reading import Reading

OUTCOMES = ("done", "skipped", "failed", "retried", "requeued")
STAGES = ("check", "fetch", "decode", "encode", "save")
WINDOW_S = 60.0
# A column of the sparkline, as long as a heartbeat, and how many are kept: those of half an hour.
BAR_S = 10.0
_BARS = 180
# Numbers of another program's heartbeat may be anything, and sums of them must stay numbers.
_MAX = 1e18
_SUMS = (*OUTCOMES, "batches", "images", "model_busy_s", "queries", "fetched_bytes")


@dataclass
class Work:
    """What workers have done in `seconds`: sums, of one worker or of several.

    Attributes:
        sums: The numbers of `WorkerStats` by name. `stage:fetch` has the seconds, `stage:fetch:n` how many there were.
        errors: Failed and retried attempts by code.
    """

    sums: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, stats: Any) -> Work:
        """Read `WorkerStats`. What is no number counts as 0."""
        work = cls()
        if not isinstance(stats, dict):
            return work
        for name in _SUMS:
            work.sums[name] = _number(stats.get(name))
        stages = stats.get("stages")
        timed = {f"stage:{name}": stages.get(name) for name in STAGES} if isinstance(stages, dict) else {}
        for name, pair in (*timed.items(), ("latency", stats.get("latency"))):
            if isinstance(pair, list) and len(pair) == 2:  # noqa: PLR2004  (the number and the seconds)
                work.sums[f"{name}:n"], work.sums[name] = map(_number, pair)
        errors = stats.get("errors")
        if isinstance(errors, dict):
            work.errors = Counter({str(code): _number(count) for code, count in errors.items()})
        return work

    def since(self, before: Work) -> Work:
        """Return what was done after `before`; all of it if a sum has fallen, since then the worker has restarted."""
        if any(self.sums[name] < before.sums[name] for name in before.sums):
            before = Work()
        return Work(
            Counter({name: value - before.sums[name] for name, value in self.sums.items()}),
            Counter({code: max(count - before.errors[code], 0) for code, count in self.errors.items()}),
        )

    def add(self, other: Work) -> None:
        """Add what others have done."""
        self.sums.update(other.sums)
        self.errors.update(other.errors)

    def mean_s(self, name: str) -> float | None:
        """Return the mean seconds of `latency` or of `stage:fetch`; None if there were none."""
        count = self.sums[f"{name}:n"]
        return self.sums[name] / count if count else None


@dataclass
class Pace:
    """How fast one worker has worked between its last two heartbeats, and its attempts that failed in the last minute.

    Attributes:
        images: Images through the model each second; None before the second heartbeat.
        fill: The share of the largest batch that the batches had; None without a batch.
        busy: The share of the time that the model was busy.
        errors: Failed and retried attempts each minute.
    """

    images: float | None = None
    fill: float | None = None
    busy: float | None = None
    errors: float | None = None


class _Known:
    """What is known of one worker process: its last heartbeat, and its work in the last minute."""

    def __init__(self, at_s: float, work: Work) -> None:
        self.at_s = at_s
        self.work = work
        self.pace = Pace()
        self._errors: deque[tuple[float, float, float]] = deque()

    def next(self, at_s: float, work: Work, heartbeat: Any) -> Work:
        """Take the next heartbeat, and return what was done between."""
        done, seconds = work.since(self.work), max(at_s - self.at_s, 1e-3)
        self.at_s, self.work = at_s, work
        self._errors.append((at_s, seconds, done.sums["failed"] + done.sums["retried"]))
        while self._errors[0][0] <= at_s - WINDOW_S:
            self._errors.popleft()
        errors = sum(count for _, _, count in self._errors) / sum(length for _, length, _ in self._errors) * 60
        batches, largest = done.sums["batches"], _number(heartbeat.get("batch_size"))
        self.pace = Pace(
            images=done.sums["images"] / seconds,
            fill=min(done.sums["images"] / batches / largest, 1) if batches and largest else None,
            busy=min(done.sums["model_busy_s"] / seconds / max(_number(heartbeat.get("model_threads")), 1), 1),
            errors=errors,
        )
        return done


class Rates:
    """The rates of all workers and of the queue, from all readings so far.

    Attributes:
        minute: What all workers have done in the last minute; see `minute_s`.
        minute_s: The seconds that `minute` is of; 0 before any worker's second heartbeat.
        bars: Images each second, in the mean of each BAR_S, the newest last.
    """

    def __init__(self) -> None:
        self.minute = Work()
        self.minute_s = 0.0
        self.bars: deque[float] = deque(maxlen=_BARS)
        self._known: dict[tuple[str, int], _Known] = {}
        self._done: deque[tuple[float, Work]] = deque()
        self._backlog: deque[tuple[float, int]] = deque()
        self._bar: list[float] = []
        self._bar_at_s = 0.0
        self._first_at_s: float | None = None

    def add(self, reading: Reading) -> None:
        """Take the next reading."""
        now_s = reading.now_s
        alive = {}
        for worker in reading.workers.workers:
            key = (worker.heartbeat["node"], worker.heartbeat["started_at"])
            alive[key] = self._take(self._known.get(key), worker, now_s)
        self._known = alive
        self._close_minute(now_s)
        self._add_bar(now_s)
        backlog = reading.counts.waiting + reading.counts.in_flight
        self._backlog.append((now_s, backlog))
        while self._backlog[0][0] < now_s - WINDOW_S:
            self._backlog.popleft()

    @property
    def is_known(self) -> bool:
        """Whether a worker has written two heartbeats with its sums."""
        return any(known.pace.images is not None for known in self._known.values())

    @property
    def images(self) -> float:
        """Images through the models each second, now."""
        return sum(known.pace.images or 0 for known in self._known.values())

    @property
    def growth(self) -> float | None:
        """By how many jobs the queue, those in flight included, grows each second; None after the first reading."""
        (first_s, first), (last_s, last) = self._backlog[0], self._backlog[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else None

    @property
    def empty_in_s(self) -> float | None:
        """The seconds until no job waits, if it goes on as in the last minute; None if the queue does not shrink."""
        growth, backlog = self.growth, self._backlog[-1][1]
        if not backlog:
            return 0.0
        return backlog / -growth if growth is not None and growth < 0 else None

    def pace_of(self, worker: LiveWorker) -> Pace:
        """Return how fast a worker of the last reading works."""
        known = self._known.get((worker.heartbeat["node"], worker.heartbeat["started_at"]))
        return known.pace if known else Pace()

    def each_minute(self, count: float) -> float:
        """Return how many a minute `count` of the last minute are."""
        return count / self.minute_s * 60 if self.minute_s else 0.0

    def _take(self, known: _Known | None, worker: LiveWorker, now_s: float) -> _Known:
        heartbeat = worker.heartbeat
        at_s, stats = heartbeat["at"] / 1e3, heartbeat.get("stats")
        if known and at_s == known.at_s:
            return known
        if known is None:
            is_new = (at_s - heartbeat["started_at"] / 1e3) < WINDOW_S
            # What a young worker has done since its start is known; an old one may have done it hours ago.
            known = _Known(heartbeat["started_at"] / 1e3, Work()) if is_new else _Known(at_s, Work.of(stats))
            if not is_new:
                return known
        if stats is None:
            known.at_s = at_s
            return known
        self._done.append((now_s, known.next(at_s, Work.of(stats), heartbeat)))
        return known

    def _close_minute(self, now_s: float) -> None:
        while self._done and self._done[0][0] < now_s - WINDOW_S:
            self._done.popleft()
        self.minute = Work()
        for _, done in self._done:
            self.minute.add(done)
        if self._first_at_s is None:
            self._first_at_s = now_s - BAR_S
        self.minute_s = min(now_s - self._first_at_s, WINDOW_S) if self._done else 0.0

    def _add_bar(self, now_s: float) -> None:
        self._bar.append(self.images)
        if now_s - self._bar_at_s >= BAR_S:
            if self.is_known:
                self.bars.append(sum(self._bar) / len(self._bar))
            self._bar, self._bar_at_s = [], now_s


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return min(value, _MAX) if is_number and value > 0 else 0
