"""A model that returns NaN, as corrupt weights do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producer.client.client import EmbeddingClient
from tests.support.fake_encoder import NAN_MODEL
from tests.support.pictures import small_jpeg
from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from producer.local.stack import Stack
    from tests.conftest import StartWorker
    from tests.support.servers import ImageServer


def test_a_vector_that_is_not_finite_is_never_written(
    start_worker: StartWorker,
    own: Stack,
    own_collection: Collection[dict[str, Any]],
    images: ImageServer,
    new_id: str,
) -> None:
    """The job fails without a retry, and an earlier vector stays."""
    start_worker(CLIP_MODEL=NAN_MODEL)
    url = images.add("/a.jpg", small_jpeg())
    own_collection.insert_one({"_id": f"{new_id}-old", "embedding": [0.6, 0.8]})
    with EmbeddingClient(own.redis_url) as client:
        client.enqueue_many((f"{new_id}-{age}", url) for age in ("old", "new"))
    failed = {"embedding_job.status": "failed"}
    wait_for(lambda: own_collection.count_documents(failed) == 2, "both jobs to fail")
    old, new = (own_collection.find_one({"_id": f"{new_id}-{age}"}) or {} for age in ("old", "new"))
    assert old["embedding"] == [0.6, 0.8]
    assert "embedding" not in new
    for document in (old, new):
        job = document["embedding_job"]
        assert (job["error"]["code"], job["error"]["stage"], job["attempts"]) == ("bad_vector", "encode", 1)
