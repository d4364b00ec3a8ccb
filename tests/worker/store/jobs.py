"""Short ways to build jobs, results and failures. All times count from T, so that no test waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from producer.contract.job import ImageJob
from worker.errors import HttpRefused
from worker.store.results import Failure, JobCheck, Result

if TYPE_CHECKING:
    from pymongo.collection import Collection

Document = dict[str, Any]

T = 1_700_000_000_000  # ms since the epoch
NO_DOCUMENT = JobCheck("needed", None)


def job(image_id: Any, name: str = "a", at_ms: int = 0, *, force: bool = False) -> ImageJob:
    return ImageJob(image_id, f"http://host/{name}.jpg", T + at_ms, force)


def result(name: str = "a", model: str = "m") -> Result:
    return Result(np.array([0.6, 0.8], np.float32), model, name, 4, 3, "JPEG")


def failure(failed: ImageJob) -> Failure:
    return Failure(failed.image_id, failed.url, failed.enqueued_at_ms, 1, HttpRefused(404, "gone"))


def stored_in(collection: Collection[Document], document_id: Any) -> Document:
    """Return a document that must exist."""
    document = collection.find_one({"_id": document_id})
    assert document is not None
    return document
