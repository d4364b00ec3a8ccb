"""The fields of `embedding_job`, which workers and clients write, and of a worker's heartbeat on Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from datetime import datetime


class ErrorFields(TypedDict):
    """`embedding_job.error`. Only a failed job has it."""

    code: str
    stage: str
    message: str


class EmbeddingJob(TypedDict):
    """`embedding_job`, the sub-document beside `embedding`.

    `status` is `done` or `failed` when a worker has finished the job. It is `pending` when the client recorded the job
    (`enqueue(..., record=True)`) and no worker has finished it yet. A pending job has neither `finished_at` nor
    `attempts`; it has the `task_id` of its message, and `force` if the client asked for it.
    """

    status: str
    url: NotRequired[str]
    enqueued_at: datetime
    finished_at: NotRequired[datetime]
    attempts: NotRequired[int]
    model: NotRequired[str]
    dim: NotRequired[int]
    sha256: NotRequired[str]
    width: NotRequired[int]
    height: NotRequired[int]
    format: NotRequired[str]
    error: NotRequired[ErrorFields]
    force: NotRequired[bool]
    task_id: NotRequired[str]


class WorkerStats(TypedDict):
    """What a worker process has done since its start. All are sums, but `in_flight` and `rss_bytes`.

    `done` to `requeued` count ends of attempts; a job may have several. `stages` has the number and the seconds of
    each stage, and `latency` those from a job's enqueue to its vector. `images` is how many images were in `batches`
    forward passes, which took `model_busy_s` seconds. `cpu_s` are seconds of processors, those of the decoding
    processes included. `errors` counts failed and retried attempts by code.
    """

    done: int
    skipped: int
    failed: int
    retried: int
    requeued: int
    in_flight: int
    batches: int
    images: int
    model_busy_s: float
    stages: dict[str, list[float]]
    latency: list[float]
    queries: int
    fetched_bytes: int
    cpu_s: float
    rss_bytes: int
    errors: dict[str, int]


class WorkerHeartbeat(TypedDict):
    """The heartbeat that a worker process stores in Redis.

    `clipqueue doctor` reads it, and so do clients that need the model's name.

    `started_at` and `at` (when the heartbeat was written) are milliseconds since the epoch by the worker's clock.
    `precision` is `fp32`, `bf16` or `fp16`; `device` is where the model runs, such as `cpu` or `cuda:1`.
    `store_away` is true while MongoDB is unavailable to the worker, which then consumes no messages.
    `images` and `queries` say what the worker serves; `dim` is the length of its vectors, and `context_length` the most
    tokens of a text. `batch_size` is its largest batch, `model_threads` how many forward passes may run at once, and
    `stats` what it has done. Workers of earlier versions serve images only, and have none of these.
    """

    node: str
    version: str
    model: str
    precision: str
    device: str
    database: str
    collection: str
    concurrency: int
    visibility_timeout_s: int
    upsert: bool
    started_at: int
    at: int
    store_away: bool
    images: NotRequired[bool]
    queries: NotRequired[bool]
    dim: NotRequired[int]
    context_length: NotRequired[int]
    batch_size: NotRequired[int]
    model_threads: NotRequired[int]
    stats: NotRequired[WorkerStats]


class EndedJob(TypedDict):
    """A job that has ended: the field `event` of an entry of the stream `ENDED`.

    `image_id` is what `producer.contract.ids.wire_id` writes. `status` is `done`, with `model`, or `failed`, with
    `error`. `url` has no query; a job that was not valid has none. `ended_at` is milliseconds since the epoch by the
    worker's clock.
    """

    task_id: str
    image_id: str | dict[str, str]
    status: str
    url: NotRequired[str]
    model: NotRequired[str]
    error: NotRequired[ErrorFields]
    ended_at: int
