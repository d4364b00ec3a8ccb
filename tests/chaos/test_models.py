"""A worker of an old model beside one of a new, and a model that hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.contract.job import now_ms
from tests.chaos.cluster import NEW_MODEL, Cluster
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos

OLD_MODEL = "stand-in/old"


def test_no_document_mixes_two_models(tmp_path: Path) -> None:
    """What a document says of its vector is true. Each image is enqueued twice at once: both models write many."""
    with Cluster(tmp_path) as cluster:
        cluster.start_workers("new")
        cluster.add_worker("old", CLIP_MODEL=OLD_MODEL).start()
        ledger = Ledger(cluster, "mixed")
        ids = ledger.enqueue(300, force=True)
        ledger.enqueue_again(ids, shift=1, force=True)
        wait_for_report(ledger).assert_complete()
        found = {document["embedding_job"]["model"] for document in cluster.collection.find()}
    assert found == {NEW_MODEL, OLD_MODEL}, "both were at work"


def test_a_worker_whose_model_hangs_ends_itself(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        flag = tmp_path / "hang"
        worker = cluster.add_worker("a", STAND_IN_HANGS_WHILE=str(flag))
        worker.start()
        ledger = Ledger(cluster, "hangs")
        flag.touch()
        ledger.enqueue(300)
        began = now_ms()
        assert worker.wait(60) == 70
        assert now_ms() - began > 2 * float(cluster.env["CLIPQUEUE_ENCODE_S"]) * 1000, (
            "not before nobody waits any more"
        )
        assert "a forward pass has run for" in worker.log.read_text()
        flag.unlink()
        worker.start()
        wait_for_report(ledger).assert_complete()
