"""The state of a backfill, and the jobs that it watches, as they are stored on Redis."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from bson import ObjectId

if TYPE_CHECKING:
    from producer.contract.job import ImageJob
    from producer.contract.records import BsonId


@dataclass(frozen=True)
class Progress:
    """How far a backfill has come, over all its runs with the same options.

    Attributes:
        after: The `_id` of the last document that was handled; None before the first.
        read: Number of documents that were handled.
        enqueued: Number of jobs that were enqueued.
        unusable: Number of documents whose id or URL is not valid.
        without_url: Number of documents without a URL.
        is_at_limit: The last run stopped at its limit. Its jobs may still have to be watched.
        is_complete: All documents were handled. The jobs may still have to be watched.
    """

    after: BsonId | None = None
    read: int = 0
    enqueued: int = 0
    unusable: int = 0
    without_url: int = 0
    is_at_limit: bool = False
    is_complete: bool = False

    @classmethod
    def from_json(cls, raw: bytes | None) -> Self:
        """Return the progress that `to_json` wrote; the initial one for None."""
        if raw is None:
            return cls()
        fields = json.loads(raw)
        return cls(**{**fields, "after": _decode_id(fields["after"])})

    def to_json(self) -> str:
        """Return the progress as JSON."""
        return json.dumps({**asdict(self), "after": _encode_id(self.after)})

    def advance(self, document_id: BsonId, *, enqueued: int = 0, unusable: int = 0, without_url: int = 0) -> Progress:
        """Return the progress after one more document."""
        return replace(
            self,
            after=document_id,
            read=self.read + 1,
            enqueued=self.enqueued + enqueued,
            unusable=self.unusable + unusable,
            without_url=self.without_url + without_url,
        )


@dataclass(frozen=True)
class WatchedJob:
    """An enqueued job whose result is awaited.

    Attributes:
        document_id: The document's `_id`.
        enqueued_at_ms: When the job was enqueued, in milliseconds since the epoch: after every earlier job of the
            document.
    """

    document_id: BsonId
    enqueued_at_ms: int

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Return the job that `to_json` wrote."""
        document_id, enqueued_at_ms, *_ = json.loads(raw)  # earlier versions wrote a third value
        return cls(_decode_id(document_id), enqueued_at_ms)

    def to_json(self) -> str:
        """Return the job as JSON."""
        return json.dumps([_encode_id(self.document_id), self.enqueued_at_ms])


@dataclass(frozen=True)
class Batch:
    """The jobs that are enqueued in one transaction, and those of them that are watched."""

    jobs: list[ImageJob] = field(default_factory=list)
    watched: list[WatchedJob] = field(default_factory=list)


def _encode_id(document_id: BsonId | None) -> Any:
    return {"$oid": str(document_id)} if isinstance(document_id, ObjectId) else document_id


def _decode_id(value: Any) -> Any:
    return ObjectId(value["$oid"]) if isinstance(value, dict) else value
