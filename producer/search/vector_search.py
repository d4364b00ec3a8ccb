"""Searches with MongoDB's vector search (`$vectorSearch`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from producer.contract.records import job_record
from producer.documents.connection import store_errors
from producer.search.candidates import SCORE_DIGITS, Candidate, Found
from producer.search.mongo_filter import to_mongo
from producer.search.query import VECTOR_SEARCH
from producer.search.ranking import MAX_CANDIDATES as MOST_ASKED
from producer.search.reader import is_image_id
from producer.search.vectors import read_stored

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from producer.contract.records import Document
    from producer.search.candidates import Target
    from producer.search.settings import SearchSettings

MAX_CANDIDATES = 10_000
# MongoDB's advice for good estimates.
_CANDIDATES_PER_HIT = 20
# With fewer documents, all vectors are compared: that is fast enough, and exact.
_EXACT_BELOW = 10_000
_COUNT_EVERY_S = 60.0


class VectorSearchBackend:
    """Searches with one index. Thread-safe."""

    name = VECTOR_SEARCH

    def __init__(self, collection: Collection[Document], settings: SearchSettings) -> None:
        self._collection = collection
        self._settings = settings
        self._counted_at: float | None = None
        self._is_small = False

    def best(self, target: Target, count: int) -> Found:
        """Return the images with the highest scores; without `exact` and with many documents, an estimate.

        Raises:
            StoreUnavailable: MongoDB did not answer, or refused the search.
        """
        with store_errors(self._collection):
            found = list(self._collection.aggregate(self._pipeline(target, count)))
        read = filter(None, (self._candidate(document, target) for document in found))
        candidates = sorted(read, key=lambda candidate: candidate.place)
        is_all = len(found) < count
        if not is_all:
            # If all have one score, a longer list decides; the longest is taken as it is.
            complete = _without_last_score(candidates)
            candidates = complete if count < MOST_ASKED else complete or candidates
        return Found(candidates, is_all)

    def _pipeline(self, target: Target, count: int) -> list[Document]:
        wanted = to_mongo(target.filter)
        of_model = {"embedding_job.model": target.model}
        stage: Document = {
            "index": self._settings.index,
            "path": "embedding",
            "queryVector": target.vector.tolist(),
            "limit": count,
            "filter": {"$and": [of_model, wanted]} if wanted else of_model,
        }
        if target.exact or self._is_small_collection():
            stage["exact"] = True
        else:
            stage["numCandidates"] = min(_CANDIDATES_PER_HIT * count, MAX_CANDIDATES)
        fields: Document = {"embedding_job.model": 1, "score": {"$meta": "vectorSearchScore"}}
        if target.with_vectors:
            fields["embedding"] = 1
        return [{"$vectorSearch": stage}, {"$project": fields}]

    def _candidate(self, document: Document, target: Target) -> Candidate | None:
        # The index lags behind the documents.
        is_current = job_record(document).get("model") == target.model and is_image_id(document["_id"])
        vector = read_stored(document.get("embedding"), len(target.vector)) if target.with_vectors else None
        if not is_current or (target.with_vectors and vector is None):
            return None
        # MongoDB's score is (1 + cosine) / 2, for the similarities `cosine` and `dotProduct`.
        return Candidate(document["_id"], round(2 * document["score"] - 1, SCORE_DIGITS), vector)

    def _is_small_collection(self) -> bool:
        now = time.monotonic()
        if self._counted_at is None or now - self._counted_at > _COUNT_EVERY_S:
            with store_errors(self._collection):
                self._is_small = self._collection.estimated_document_count() < _EXACT_BELOW
            self._counted_at = now
        return self._is_small


def _without_last_score(candidates: list[Candidate]) -> list[Candidate]:
    """Leave out the images that have the lowest score: MongoDB may have left out others with that score."""
    return [candidate for candidate in candidates if candidate.score > candidates[-1].score]
