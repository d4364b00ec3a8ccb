"""How many bytes MongoDB stores for an image, and how many it has sent and received since it started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from .connection import store_errors

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from ..contract.records import Document

_SAMPLE = 100
_MAX_MS = 5000
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


def stored_bytes(images: Collection[Document]) -> float | None:
    """Return the mean size of the vector and the job of up to 100 images; None if none has a vector.

    It is the size as BSON. MongoDB compresses documents on its disk, and the vectors of most models hardly shrink.

    Raises:
        StoreUnavailable: MongoDB could not be reached, or took longer than five seconds.
    """
    fields = {"_id": 0, "embedding": 1, "embedding_job": 1}
    with store_errors(images):
        found = images.with_options(_RAW).find({"embedding_job.status": "done"}, fields, limit=_SAMPLE)
        sizes = [len(document.raw) for document in found.max_time_ms(_MAX_MS)]
    return sum(sizes) / len(sizes) if sizes else None


def network_bytes(images: Collection[Document]) -> int | None:
    """Return the bytes that MongoDB has sent and received; None if it does not tell, or this user may not ask.

    Raises:
        StoreUnavailable: MongoDB could not be reached.
    """
    with store_errors(images):
        try:
            network: Any = images.database.command("serverStatus").get("network")
        except OperationFailure:
            return None
    counts: list[Any] = [network.get(name) for name in ("bytesIn", "bytesOut")] if isinstance(network, dict) else []
    return sum(counts) if counts and all(type(count) is int for count in counts) else None
