"""The fields that workers write: `embedding_job` in a document, and a worker's heartbeat on Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:
    from datetime import datetime


class ErrorFields(TypedDict):
    """`embedding_job.error`, present only when the job failed."""

    code: str
    stage: str
    message: str


class EmbeddingJob(TypedDict):
    """`embedding_job`, the sub-document a worker writes beside `embedding`.

    `status` is `done` or `failed`; or `pending`, if the client recorded a job (`enqueue(..., record=True)`) that has
    not ended, and then there are neither `finished_at` nor `attempts`, and `force` if it was asked for.
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


class WorkerHeartbeat(TypedDict):
    """What a worker process says of itself on Redis, for `clipqueue doctor` and whoever asks for its model.

    `started_at` and `at`, when it was written, are milliseconds since the epoch by the worker's own clock.
    `store_away`: MongoDB does not answer, so that it takes no messages.
    """

    node: str
    version: str
    model: str
    database: str
    collection: str
    concurrency: int
    visibility_timeout_s: int
    upsert: bool
    started_at: int
    at: int
    store_away: bool
