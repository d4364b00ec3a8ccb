"""Whether a document is what its image's last job must have made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.chaos.vectors import digest_of, is_vector_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.ledger import Expected

_OF_A_VECTOR = {"status", "model", "dim", "url", "sha256", "width", "height", "format"}
_OF_DONE = _OF_A_VECTOR | {"enqueued_at", "finished_at", "attempts"}
_OF_ERROR = {"code", "stage", "message"}


def find_error(app: str, document: dict[str, Any], expected: Expected) -> str | None:
    """Return what is wrong with a document whose job has ended, if anything; `app` is the cluster's."""
    job = document["embedding_job"]
    if job.get("url") != expected.url:
        return f"the job is of {job.get('url')} and not of {expected.url}"
    faults = _faults_of_done(app, document, expected) if job["status"] == "done" else _faults_of_failed(job, expected)
    return next(faults, None)


def _faults_of_done(app: str, document: dict[str, Any], expected: Expected) -> Iterator[str]:
    job, vector = document["embedding_job"], document.get("embedding", [])
    if expected.code:
        yield f"done, where {expected.code} was expected"
    if set(job) != _OF_DONE:
        yield f"embedding_job is not whole: {sorted(set(job) ^ _OF_DONE)}"
    if job.get("sha256") != digest_of(expected.picture):
        yield f"the file is not picture {expected.picture}"
    if job.get("dim") != len(vector):
        yield f"dim is {job.get('dim')}, and there are {len(vector)} numbers"
    if not is_vector_of(app, str(job.get("model")), expected.picture, vector):
        yield f"the vector is not that of picture {expected.picture} by {job.get('model')}"


def _faults_of_failed(job: dict[str, Any], expected: Expected) -> Iterator[str]:
    error = job.get("error", {})
    if set(error) != _OF_ERROR:
        yield f"the failure has no whole reason: {error}"
    if expected.code and error.get("code") != expected.code:
        yield f"{error.get('code')}, where {expected.code} was expected"
