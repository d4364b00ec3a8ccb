"""Whether a document holds the result that its image's last job must have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.chaos.vectors import digest_of, is_vector_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.ledger import Expected

_VECTOR_FIELDS = {"status", "model", "dim", "url", "sha256", "width", "height", "format"}
_DONE_FIELDS = _VECTOR_FIELDS | {"enqueued_at", "finished_at", "attempts"}
_ERROR_FIELDS = {"code", "stage", "message"}


def find_error(app: str, document: dict[str, Any], expected: Expected) -> str | None:
    """Return the first error of a document whose job has ended, or None; `app` is the cluster's."""
    job = document["embedding_job"]
    if job.get("url") != expected.url:
        return f"the job's URL is {job.get('url')} instead of {expected.url}"
    errors = _errors_of_done(app, document, expected) if job["status"] == "done" else _errors_of_failed(job, expected)
    return next(errors, None)


def _errors_of_done(app: str, document: dict[str, Any], expected: Expected) -> Iterator[str]:
    job, vector = document["embedding_job"], document.get("embedding", [])
    if expected.code:
        yield f"done instead of {expected.code}"
    if set(job) != _DONE_FIELDS:
        yield f"embedding_job has wrong fields: {sorted(set(job) ^ _DONE_FIELDS)}"
    if job.get("sha256") != digest_of(expected.picture):
        yield f"the file is not picture {expected.picture}"
    if job.get("dim") != len(vector):
        yield f"dim is {job.get('dim')}, but the vector has {len(vector)} numbers"
    if not is_vector_of(app, str(job.get("model")), expected.picture, vector):
        yield f"the vector is not that of picture {expected.picture} by {job.get('model')}"


def _errors_of_failed(job: dict[str, Any], expected: Expected) -> Iterator[str]:
    error = job.get("error", {})
    if set(error) != _ERROR_FIELDS:
        yield f"the error has wrong fields: {error}"
    if expected.code and error.get("code") != expected.code:
        yield f"{error.get('code')} instead of {expected.code}"
