"""How far a backfill has come, and the jobs whose end it waits for, as they stand on Redis."""

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
    """How far a backfill has come, earlier starts with the same options included.

    Attributes:
        after: The `_id` of the last document that it is done with, None before the first.
        read: Documents that it is done with.
        enqueued: Jobs that it has put on the queue.
        unusable: Documents whose id or URL no worker could use.
        without_url: Documents that have no URL.
        is_at_limit: The last start has enqueued as many as it was to; what it may have left to do is to follow them.
        is_complete: All documents are read; the same holds.
    """

    after: BsonId | None = None
    read: int = 0
    enqueued: int = 0
    unusable: int = 0
    without_url: int = 0
    is_at_limit: bool = False
    is_complete: bool = False

    @classmethod
    def read_from(cls, raw: bytes | None) -> Self:
        """Return what `written` made; the beginning, if there is nothing."""
        if raw is None:
            return cls()
        fields = json.loads(raw)
        return cls(**{**fields, "after": _unwire(fields["after"])})

    def written(self) -> str:
        """Return it as text."""
        return json.dumps({**asdict(self), "after": _wire(self.after)})

    def past(self, document_id: BsonId, *, enqueued: int = 0, unusable: int = 0, without_url: int = 0) -> Progress:
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
class Followed:
    """A job whose end is waited for.

    Attributes:
        document_id: The document's `_id`.
        enqueued_at_ms: The job's time.
        before_ms: The time of the job that was recorded before it, None if there was none.
    """

    document_id: BsonId
    enqueued_at_ms: int
    before_ms: int | None

    @classmethod
    def read_from(cls, raw: bytes) -> Self:
        """Return what `written` made."""
        document_id, enqueued_at_ms, before_ms = json.loads(raw)
        return cls(_unwire(document_id), enqueued_at_ms, before_ms)

    def written(self) -> str:
        """Return it as text."""
        return json.dumps([_wire(self.document_id), self.enqueued_at_ms, self.before_ms])


@dataclass(frozen=True)
class Page:
    """What one move puts on Redis."""

    jobs: list[ImageJob] = field(default_factory=list)
    followed: list[Followed] = field(default_factory=list)


def _wire(document_id: BsonId | None) -> Any:
    return {"$oid": str(document_id)} if isinstance(document_id, ObjectId) else document_id


def _unwire(value: Any) -> Any:
    return ObjectId(value["$oid"]) if isinstance(value, dict) else value
