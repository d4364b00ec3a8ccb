"""The values that the pipeline and the store exchange. They do not depend on MongoDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from producer.contract.text import without_middle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from producer.contract.ids import ImageId
    from worker.errors import JobError

# Longer ones lose their middle: they mostly start with a URL, and end with what happened.
_MAX_MESSAGE_CHARS = 500


@dataclass(frozen=True)
class JobCheck:
    """Whether a job still needs to run.

    Attributes:
        verdict: `needed`; `current` if the document has this model's vector for this URL; `superseded` if a job that
            was enqueued later is already recorded; `deleted` if there is no document and none may be created.
        stored: The document's `embedding_job`, which the later write must still find there; empty if it has none,
            None if there is no document.
    """

    verdict: Literal["needed", "current", "superseded", "deleted"]
    stored: dict[str, Any] | None


@dataclass(frozen=True)
class Result:
    """The result of a job: a float32 vector of shape (dim,), the model's name, and the image's properties."""

    vector: NDArray[np.float32]
    model: str
    sha256: str
    width: int
    height: int
    format: str


@dataclass(frozen=True)
class Failure:
    """A job that failed. `url` is None if the message was not a valid job, `task_id` if it is unknown."""

    image_id: ImageId
    url: str | None
    enqueued_at_ms: int
    attempts: int
    error: JobError
    task_id: str | None = None

    @property
    def message(self) -> str:
        """The error's text as a document stores it: on one line, at most 500 characters."""
        text = "".join(char if char.isprintable() else " " for char in str(self.error))
        return without_middle(text, _MAX_MESSAGE_CHARS)
