"""What the pipeline hands to the store: plain values, without MongoDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from producer.contract.job import ImageId
    from worker.errors import JobError


@dataclass(frozen=True)
class JobCheck:
    """How a job stands to what its document holds already.

    Attributes:
        verdict: `needed`; `current`, if this model's vector for this URL is there; `superseded`, if a job
            enqueued later has been written; `deleted`, if there is no document and none is to be made.
        stored: The document's `embedding_job` as it was read, empty if it has none; None if there is no document.
    """

    verdict: Literal["needed", "current", "superseded", "deleted"]
    stored: dict[str, Any] | None


@dataclass(frozen=True)
class Result:
    """What a finished job writes: the vector, float32 of shape (dim,), and what the image was."""

    vector: NDArray[np.float32]
    model: str
    sha256: str
    width: int
    height: int
    format: str


@dataclass(frozen=True)
class Failure:
    """What a failed job writes; `url` is None where the message had none that could be read."""

    image_id: ImageId
    url: str | None
    enqueued_at_ms: int
    attempts: int
    error: JobError
