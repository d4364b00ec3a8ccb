"""The state of a backfill, and the jobs that it watches, as they are stored on Redis."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Self

from bson import json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.json_util import JSONMode, JSONOptions

if TYPE_CHECKING:
    from producer.contract.job import ImageJob
    from producer.contract.records import BsonId

# Every type of `_id` is read back as it was, also one that no job can have.
_JSON = JSONOptions(
    json_mode=JSONMode.CANONICAL,
    uuid_representation=UuidRepresentation.STANDARD,
    tz_aware=True,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


@dataclass(frozen=True)
class Progress:
    """How far a backfill has come, over all its runs with the same options.

    Attributes:
        part: The name of the part of the documents that is read now. The parts are read in order of their names.
        after: The `_id` of the last document that was handled in it; None before the first.
        read: Number of documents that were handled.
        enqueued: Number of jobs that were enqueued.
        unusable: Number of documents whose id or URL is not valid.
        without_url: Number of documents without a URL.
        is_at_limit: The last run stopped at its limit. Its jobs may still have to be watched.
        is_complete: All documents were handled. The jobs may still have to be watched.
    """

    part: str = ""
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
        return cls(**json_util.loads(raw, json_options=_JSON))

    def to_json(self) -> str:
        """Return the progress as JSON."""
        return json_util.dumps(asdict(self), json_options=_JSON)

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
        return cls(*json_util.loads(raw, json_options=_JSON))

    def to_json(self) -> str:
        """Return the job as JSON."""
        return json_util.dumps([self.document_id, self.enqueued_at_ms], json_options=_JSON)


@dataclass(frozen=True)
class Batch:
    """The jobs that are enqueued in one transaction, and those of them that are watched."""

    jobs: list[ImageJob] = field(default_factory=list)
    watched: list[WatchedJob] = field(default_factory=list)
