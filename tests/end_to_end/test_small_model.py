"""From a message on Redis to a document in MongoDB, with the real small model."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bson import ObjectId

from producer.local.stack import Stack
from tests.conftest import WORKER_ENV
from tests.support.messages import hand_made_message
from tests.support.pictures import encoded, photo
from worker.encode.weights import model_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis
    from pymongo.collection import Collection

    from tests.support.servers import ImageServer

Document = dict[str, Any]


@pytest.fixture(scope="module")
def worker_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("small-model")


@pytest.fixture(scope="module")
def stack(worker_dir: Path) -> Iterator[Stack]:
    """Servers and a worker with the small model, instead of the session's."""
    with Stack(worker_dir) as stack:
        stack.start_servers()
        # OpenMP then logs its settings.
        stack.start_worker({**WORKER_ENV, "OMP_DISPLAY_ENV": "VERBOSE"})
        yield stack


@pytest.mark.parametrize("is_object_id", [False, True], ids=["string id", "ObjectId"])
def test_a_hand_made_message_becomes_the_documented_document(
    is_object_id: bool,
    broker: redis.Redis,
    collection: Collection[Document],
    images: ImageServer,
    result_of: Callable[[Any], Document],
    new_id: str,
) -> None:
    """Any program that can LPUSH is a producer. The backend's own fields stay as they are."""
    stored_id: Any = ObjectId() if is_object_id else new_id
    wire_id: Any = {"$oid": str(stored_id)} if is_object_id else stored_id
    collection.insert_one({"_id": stored_id, "title": "Raccoon", "url": "https://backend.example/own", "tags": [1, 2]})
    url = images.add("/raccoon.jpg", encoded(photo(), "JPEG"))
    enqueued_at = int(time.time() * 1000)

    message = hand_made_message({"image_id": wire_id, "url": url, "enqueued_at": enqueued_at, "color": "ignored"})
    broker.lpush("images", message)

    document = result_of(stored_id)
    assert set(document) == {"_id", "title", "url", "tags", "embedding", "embedding_job"}
    assert (document["title"], document["url"], document["tags"]) == ("Raccoon", "https://backend.example/own", [1, 2])
    assert len(document["embedding"]) == 256
    assert np.linalg.norm(document["embedding"]) == pytest.approx(1.0, abs=1e-5)
    job = document["embedding_job"]
    assert job.pop("sha256") == hashlib.sha256(encoded(photo(), "JPEG")).hexdigest()
    assert job.pop("enqueued_at") == datetime.fromtimestamp(enqueued_at / 1000, UTC)
    assert abs((datetime.now(UTC) - job.pop("finished_at")).total_seconds()) < 60
    assert job == {
        "status": "done",
        "model": model_id("emoji-clip", "bundled"),
        "dim": 256,
        "url": url,
        "width": 1024,
        "height": 768,
        "format": "JPEG",
        "attempts": 1,
    }


def test_the_threads_of_pytorch_spin_only_briefly(stack: Stack, worker_dir: Path) -> None:
    """libgomp logs the value, which shows that the variable was set before libgomp was loaded."""
    assert "GOMP_SPINCOUNT = '50000'" in (worker_dir / "worker.log").read_text()
