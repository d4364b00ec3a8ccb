"""Finds out why images failed: the codes, how often, and a few images of each. Needs the extra `mongo`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from producer.contract.errors import StoreUnavailable
from producer.contract.records import describe_error
from producer.contract.text import printable
from producer.contract.urls import redact_text, redact_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.collection import Collection

_FAILED = {"embedding_job.status": "failed"}
_CODE = "embedding_job.error.code"
_MOST_CHARS = 200


@dataclass(frozen=True)
class Sample:
    """One image that failed; texts are printable, and URLs are without their query."""

    image_id: str
    url: str
    message: str


@dataclass(frozen=True)
class FailureGroup:
    """The images that failed with one code.

    Attributes:
        code: `none` for documents without one, which no worker wrote.
        stage: Where in the job that was, such as `fetch`; several are separated by commas.
        count: How many there are.
        newest: When the last of them failed; None if that cannot be read.
        samples: Some of them, the newest first.
    """

    code: str
    stage: str
    count: int
    newest: datetime | None
    samples: tuple[Sample, ...]


def find_failures(documents: Collection[dict[str, Any]], code: str | None, samples: int) -> list[FailureGroup]:
    """Return the failures by code, the most frequent first.

    Args:
        documents: Where to look.
        code: Return these alone.
        samples: Most samples of each code.

    Raises:
        StoreUnavailable: MongoDB did not answer.
    """
    group = {"_id": f"${_CODE}", "count": {"$sum": 1}, "stages": {"$addToSet": "$embedding_job.error.stage"}}
    match = _FAILED if code is None else {**_FAILED, _CODE: code}
    try:
        found = list(documents.aggregate([{"$match": match}, {"$group": group}]))
        groups = [_read_group(documents, one, samples) for one in found]
    except PyMongoError as exc:
        raise StoreUnavailable(f"MongoDB did not answer: {describe_error(exc)}") from None
    except UnicodeError:
        raise StoreUnavailable("the code is not valid Unicode text") from None
    return sorted(groups, key=lambda one: (-one.count, one.code))


def _read_group(documents: Collection[dict[str, Any]], found: Mapping[str, Any], samples: int) -> FailureGroup:
    # $eq, since the code may be whatever another program wrote there, such as an object with an operator's name.
    newest = documents.find({**_FAILED, _CODE: {"$eq": found["_id"]}}, {"embedding_job": 1})
    jobs = list(newest.sort("embedding_job.finished_at", -1).limit(max(samples, 1)))
    finished_at = jobs[0]["embedding_job"].get("finished_at") if jobs else None
    return FailureGroup(
        code="none" if found["_id"] is None else printable(str(found["_id"])),
        stage=", ".join(sorted(printable(str(stage)) for stage in found["stages"] if stage is not None)),
        count=found["count"],
        newest=finished_at if isinstance(finished_at, datetime) else None,
        samples=tuple(map(_read_sample, jobs[:samples])),
    )


def _read_sample(document: Mapping[str, Any]) -> Sample:
    job = document["embedding_job"]
    error = job["error"] if isinstance(job.get("error"), dict) else {}
    url = job.get("url")
    return Sample(
        image_id=printable(str(document["_id"]), _MOST_CHARS),
        url=printable(redact_url(url), _MOST_CHARS) if isinstance(url, str) else "",
        message=printable(redact_text(str(error.get("message", ""))), _MOST_CHARS),
    )
