"""One attempt of a job, and how it ended. There is one end for each run of the task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from producer.contract.job import now_ms
from worker.telemetry.stages import StageTimes

if TYPE_CHECKING:
    from producer.contract.ids import ImageId
    from worker.errors import JobError, Requeue

Outcome = Literal["done", "skipped", "failed", "retried", "requeued"]


# Never changed, but not frozen: that would cost each job 3 microseconds more.
@dataclass(kw_only=True)
class Attempt:
    """What is known of a job when its task starts.

    Attributes:
        image_id: The document's `_id`.
        url: None if the message is not a valid job. It may have a query with a signature.
        task_id: The id of the message.
        enqueued_at_ms: When the job was enqueued, in milliseconds since the epoch.
        attempts: 1 for the first attempt. A requeue uses none.
        taken_at_ms: When the task started, in milliseconds since the epoch.
        times: Its stages; they are added while it runs.
        trace_id: The id of its trace, 32 hex digits; None if it has none.
    """

    image_id: ImageId
    url: str | None
    task_id: str
    enqueued_at_ms: int
    attempts: int
    taken_at_ms: int = field(default_factory=now_ms)
    times: StageTimes = field(default_factory=StageTimes)
    trace_id: str | None = None

    def end(self, outcome: Outcome, **facts: Any) -> JobEnd:
        """Return how it ended. `facts` are the other fields of a `JobEnd`."""
        return JobEnd(outcome=outcome, **vars(self), **facts)


@dataclass(kw_only=True)
class JobEnd(Attempt):
    """How one attempt of a job ended.

    Attributes:
        outcome: `done`, `skipped` (nothing was to be done) or `failed` is the end of the job. It was `retried` if it
            waits for its next attempt, and `requeued` if it went back to the queue because of the worker's state.
        batch_size: How many images the model embedded together with this one, itself included; 0 if none.
        verdict: Why it was skipped: `current`, `superseded` or `deleted`, as `worker.store.results.JobCheck` says;
            `needed` if it was done; empty with an error.
        error: Why it failed, or was retried or requeued.
        retry_in_s: The seconds until the next attempt, of a job that was retried.
    """

    outcome: Outcome
    batch_size: int = 0
    verdict: str = ""
    error: JobError | Requeue | None = None
    retry_in_s: float | None = None
