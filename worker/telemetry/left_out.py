"""The jobs that have no line of their own, counted for the line that stands for all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.telemetry.job_end import JobEnd


@dataclass
class LeftOut:
    """Counts of the jobs that were left out since a time.

    Attributes:
        since_s: When the first one was left out.
        ended: How many jobs ended since then, those with a line of their own too.
    """

    since_s: float
    ended: int = 0
    _outcomes: Counter[str] = field(default_factory=Counter)
    _codes: Counter[str] = field(default_factory=Counter)
    _batches: list[int] = field(default_factory=lambda: [0, 0])
    _stages: dict[str, list[float]] = field(default_factory=dict)

    @property
    def has_errors(self) -> bool:
        """Whether one of them failed or was retried."""
        return bool(self._codes)

    def add(self, end: JobEnd, code: str) -> None:
        """Count a job without a line; `code` is that of its error."""
        self._outcomes[end.outcome] += 1
        if code:
            self._codes[code] += 1
        if end.batch_size:
            self._batches = [self._batches[0] + 1, self._batches[1] + end.batch_size]
        for name, seconds in end.times.seconds.items():
            count, total, worst = self._stages.get(name, (0, 0.0, 0.0))
            self._stages[name] = [count + 1, total + seconds, max(worst, seconds)]

    def fields(self, now_s: float) -> dict[str, Any]:
        """Return all figures; times are means and the worst, in milliseconds."""
        seconds = max(1e-3, now_s - self.since_s)
        images, total = self._batches
        fields: dict[str, Any] = {
            "left_out": self._outcomes.total(),
            "seconds": round(seconds, 1),
            "jobs_per_s": round(self.ended / seconds, 1),
            **self._outcomes,
        }
        if images:
            fields["batch_mean"] = round(total / images, 1)
        for name, (count, spent, worst) in self._stages.items():
            fields[f"{name}_ms_mean"] = round(1e3 * spent / count, 1)
            fields[f"{name}_ms_worst"] = round(1e3 * worst, 1)
        if self._codes:
            fields["codes"] = " ".join(f"{code}={count}" for code, count in self._codes.most_common())
        return fields

    def text(self, now_s: float) -> str:
        """Return the same as a text."""
        fields = self.fields(now_s)
        parts = [f"{name}={count}" for name, count in self._outcomes.items()]
        parts += [f"batch={fields['batch_mean']:g}"] if "batch_mean" in fields else []
        parts += [f"{name}={fields[f'{name}_ms_mean']:g}/{fields[f'{name}_ms_worst']:g}ms" for name in self._stages]
        parts += [fields["codes"]] if "codes" in fields else []
        return (
            f"{fields['left_out']} job lines left out in {fields['seconds']:g} s, {fields['jobs_per_s']:g} jobs/s "
            f"ended (stages: mean/worst): {' '.join(parts)}"
        )
