"""What a worker has done since its start, read from its heartbeat. A value that makes no sense counts as 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from producer.contract.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producer.contract.fields import WorkerHeartbeat

STAGES = ("check", "fetch", "decode", "encode", "save")
# The fields of `Sums` that are one number.
_NUMBERS = (
    *("done", "skipped", "failed", "retried", "requeued", "batches", "images"),
    *("model_busy_s", "queries", "fetched_bytes", "cpu_s"),
)
_MAX_VALUE = 1e18
_MAX_CODES, _MAX_CODE_CHARS = 200, 40


@dataclass(frozen=True)
class Times:
    """How often something was done, and the seconds that all of it took together."""

    count: float = 0.0
    seconds: float = 0.0

    @property
    def mean_s(self) -> float | None:
        """The seconds of one; None if there was none."""
        return self.seconds / self.count if self.count else None

    def plus(self, other: Times) -> Times:
        """Return the sum of both."""
        return Times(self.count + other.count, self.seconds + other.seconds)

    def since(self, earlier: Times) -> Times:
        """Return what came after an earlier state."""
        return Times(max(self.count - earlier.count, 0.0), max(self.seconds - earlier.seconds, 0.0))


@dataclass(frozen=True)
class Sums:
    """The sums of `WorkerStats`, which says what each is."""

    done: float = 0.0
    skipped: float = 0.0
    failed: float = 0.0
    retried: float = 0.0
    requeued: float = 0.0
    batches: float = 0.0
    images: float = 0.0
    model_busy_s: float = 0.0
    queries: float = 0.0
    fetched_bytes: float = 0.0
    cpu_s: float = 0.0
    latency: Times = Times()
    stages: Mapping[str, Times] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, heartbeat: WorkerHeartbeat) -> Sums | None:
        """Return the sums of a heartbeat; None if it has none, as those of workers of earlier versions."""
        stats: Any = heartbeat.get("stats")
        if stats is None:
            return None
        stages, errors = _object(stats.get("stages")), _object(stats.get("errors"))
        return cls(
            **{name: _number(stats.get(name)) for name in _NUMBERS},
            latency=_times(stats.get("latency")),
            stages={stage: _times(stages.get(stage)) for stage in STAGES},
            errors={printable(code, _MAX_CODE_CHARS): _number(errors[code]) for code in sorted(errors)[:_MAX_CODES]},
        )

    def since(self, earlier: Sums) -> Sums:
        """Return what was done after an earlier heartbeat of the same worker."""
        return Sums(
            **{name: max(getattr(self, name) - getattr(earlier, name), 0.0) for name in _NUMBERS},
            latency=self.latency.since(earlier.latency),
            stages={name: times.since(earlier.stages.get(name, Times())) for name, times in self.stages.items()},
            errors={code: max(count - earlier.errors.get(code, 0.0), 0.0) for code, count in self.errors.items()},
        )

    def plus(self, other: Sums) -> Sums:
        """Return the sum of two workers."""
        return Sums(
            **{name: getattr(self, name) + getattr(other, name) for name in _NUMBERS},
            latency=self.latency.plus(other.latency),
            stages={
                stage: self.stages.get(stage, Times()).plus(other.stages.get(stage, Times()))
                for stage in STAGES
                if stage in self.stages or stage in other.stages
            },
            errors={
                code: self.errors.get(code, 0.0) + other.errors.get(code, 0.0)
                for code in sorted({*self.errors, *other.errors})
            },
        )


def _number(value: Any) -> float:
    is_number = type(value) in (int, float) and 0 <= value <= _MAX_VALUE  # NaN is not
    return float(value) if is_number else 0.0


def _times(value: Any) -> Times:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004  (a number and its seconds)
        return Times()
    return Times(*map(_number, value))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
