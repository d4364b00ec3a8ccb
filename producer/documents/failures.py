"""Counts failed images by error code, with a few examples of each. The index FAILED serves both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..contract.text import printable
from ..contract.urls import redact_text, redact_url
from .indexes import timed_requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.collection import Collection

_FAILED = {"embedding_job.status": "failed"}
_CODE = "embedding_job.error.code"
_MAX_CHARS = 200
# A million failures are counted in seconds from the index. Without it, MongoDB reads each of their documents.
_COUNT_MS = 60_000
_SAMPLES_MS = 10_000
SOCKET_TIMEOUT_S = _COUNT_MS / 1e3 + 10


@dataclass(frozen=True)
class Sample:
    """An image that failed. All texts are printable, and URLs have no query.

    Attributes:
        image_id: Its id as text.
        url: The URL that failed; empty if there is none.
        message: The message of the error.
        stage: The stage of the job.
        failed_at: When it failed; None if the document has no valid date.
        document_id: The `_id` itself, for queries.
    """

    image_id: str
    url: str
    message: str
    stage: str
    failed_at: datetime | None
    document_id: Any


@dataclass(frozen=True)
class FailureGroup:
    """The images that failed with one error code.

    Attributes:
        code: The error code; `none` if another program wrote the documents without one.
        stage: The stage of the job, such as `fetch`; several are separated by commas.
        count: The number of images.
        newest: When the newest of them failed; None if the document has no valid date.
        samples: The newest images, the newest first.
        raw_code: The code as it is in the documents, for queries.
    """

    code: str
    stage: str
    count: int
    newest: datetime | None
    samples: tuple[Sample, ...]
    raw_code: Any


def find_failures(
    documents: Collection[dict[str, Any]], code: str | None, samples: int, codes: int | None = None
) -> list[FailureGroup]:
    """Return the failures by error code, the most frequent first.

    Args:
        documents: The collection, with a socket timeout of at least SOCKET_TIMEOUT_S.
        code: Return only this error code; None returns all.
        samples: The maximum number of samples for each code.
        codes: Return only so many of the most frequent codes; None returns all. Each costs a request.

    Raises:
        StoreUnavailable: MongoDB cannot be reached, refuses the request or does not finish it in time, or `code` is not
            valid Unicode text.
    """
    group = {"_id": f"${_CODE}", "count": {"$sum": 1}, "stages": {"$addToSet": "$embedding_job.error.stage"}}
    match = _FAILED if code is None else {**_FAILED, _CODE: code}
    with timed_requests(documents):
        found = list(documents.aggregate([{"$match": match}, {"$group": group}], maxTimeMS=_COUNT_MS))
        frequent = sorted(found, key=lambda result: -result["count"])[:codes]
        groups = [_read_group(documents, result, samples) for result in frequent]
    return sorted(groups, key=lambda group: (-group.count, group.code))


def find_samples(documents: Collection[dict[str, Any]], raw_code: Any, samples: int) -> tuple[Sample, ...]:
    """Return the newest failures with one code, the newest first.

    Args:
        documents: The collection.
        raw_code: The code as it is in the documents.
        samples: The maximum number.

    Raises:
        StoreUnavailable: MongoDB cannot be reached, refuses the request or does not finish it in time.
    """
    with timed_requests(documents):
        return tuple(_samples(documents, raw_code, samples))


def _samples(documents: Collection[dict[str, Any]], raw_code: Any, samples: int) -> list[Sample]:
    # $eq, because another program may have written an object that looks like an operator.
    of_code = {**_FAILED, _CODE: {"$eq": raw_code}}
    newest = documents.find(of_code, {"embedding_job": 1}, max_time_ms=_SAMPLES_MS)
    return list(map(_read_sample, newest.sort("embedding_job.finished_at", -1).limit(samples)))


def _read_group(documents: Collection[dict[str, Any]], found: Mapping[str, Any], samples: int) -> FailureGroup:
    newest = _samples(documents, found["_id"], max(samples, 1))
    return FailureGroup(
        code="none" if found["_id"] is None else printable(str(found["_id"])),
        stage=", ".join(sorted(printable(str(stage)) for stage in found["stages"] if stage is not None)),
        count=found["count"],
        newest=newest[0].failed_at if newest else None,
        samples=tuple(newest[:samples]),
        raw_code=found["_id"],
    )


def _read_sample(document: Mapping[str, Any]) -> Sample:
    job = document["embedding_job"]
    error = job["error"] if isinstance(job.get("error"), dict) else {}
    url, finished_at = job.get("url"), job.get("finished_at")
    return Sample(
        image_id=printable(str(document["_id"]), _MAX_CHARS),
        url=printable(redact_url(url), _MAX_CHARS) if isinstance(url, str) else "",
        message=printable(redact_text(str(error.get("message", ""))), _MAX_CHARS),
        stage=printable(str(error.get("stage", ""))),
        failed_at=finished_at if isinstance(finished_at, datetime) else None,
        document_id=document["_id"],
    )
