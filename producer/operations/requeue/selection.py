"""Which documents are owed a vector, and the job of each. It reads and writes nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from producer.contract.job import ImageJob, parse_image_id
from producer.contract.records import Document, job_record, to_ms

MISSING, FAILED, STALE, CURRENT = "missing", "failed", "stale", "current"
ALL = "all"
# How documents are selected that lack a current vector and have not failed for good.
LACKING = "lacking"
ENDED = ("done", "failed")

_WANTED = {
    LACKING: {MISSING, STALE},
    MISSING: {MISSING},
    FAILED: {FAILED},
    STALE: {STALE},
    ALL: {MISSING, FAILED, STALE, CURRENT},
}
_QUERIES: dict[str, Document] = {
    LACKING: {"embedding_job.status": {"$ne": "failed"}},
    MISSING: {"embedding_job.status": {"$nin": list(ENDED)}},
    FAILED: {"embedding_job.status": "failed"},
    STALE: {"embedding_job.status": "done"},
    ALL: {},
}


@dataclass(frozen=True)
class Selection:
    """Which documents are wanted.

    Attributes:
        url_field: Where a document has its URL; a dotted name reaches into sub-documents.
        only: One of the states, `ALL` (and then force), or `LACKING`.
        model: A vector of another model is stale; None: of no model.
    """

    url_field: str
    only: str = LACKING
    model: str | None = None

    def query(self) -> Document:
        """Return what the server can tell of the documents that are wanted."""
        return _QUERIES[self.only]

    def wants(self, document: Document) -> bool:
        """Return whether the document is wanted, if it has a URL."""
        return self.state_of(document) in _WANTED[self.only]

    def state_of(self, document: Document) -> str:
        """Return how the document's vector stands to its URL."""
        record = job_record(document)
        if record.get("status") not in ENDED:
            return MISSING
        if record["status"] == "failed":
            return FAILED
        is_of_model = self.model is None or record.get("model") == self.model
        return CURRENT if is_of_model and record.get("url") == url_in(document, self.url_field) else STALE

    def job_of(self, document: Document, read_ms: int) -> ImageJob | None:
        """Return the document's job as `job_of` does, one that is forced if all documents are wanted."""
        return job_of(document, self.url_field, read_ms, force=self.only == ALL)


def job_of(document: Document, url_field: str, read_ms: int, *, force: bool = False) -> ImageJob | None:
    """Return the job that the document asks for, None if it has no URL.

    A job that was recorded and has not ended is that same job again, its time included. Else the URL is that of the
    field, and the job's time that of the reading: what is enqueued after that knows better, and wins.

    Args:
        document: As it was read.
        url_field: Where it has its URL.
        read_ms: When it was read, or a little before, in milliseconds since the epoch.
        force: Embed again although the vector is there.

    Raises:
        InvalidJob: No worker could use the id or the URL.
    """
    record = job_record(document)
    url, at_ms = url_in(document, url_field), None
    if record.get("status") == "pending" and isinstance(record.get("url"), str):
        url, at_ms = record["url"], to_ms(record.get("enqueued_at"))
        force = force or record.get("force") is True
    if not url:
        return None
    return ImageJob(parse_image_id(document["_id"]), url, read_ms if at_ms is None else at_ms, force)


def url_in(document: Document, url_field: str) -> str | None:
    """Return the string in the document's field, None if there is none."""
    # The embedded MongoDB server answers a dotted name as one flat name.
    value: Any = document.get(url_field)
    if value is None:
        value = document
        for name in url_field.split("."):
            value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) and value else None


def fields_to_read(url_field: str) -> dict[str, int]:
    """Return the projection with which a document can be judged; never the vector."""
    # MongoDB refuses a field beside one that contains it.
    is_in_record = url_field.partition(".")[0] == "embedding_job"
    return {"embedding_job": 1} if is_in_record else {"embedding_job": 1, url_field: 1}
