"""Two workers with different models on one queue, and a model that hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.contract.job import now_ms
from tests.chaos.cluster import NEW_MODEL, Cluster
from tests.chaos.ledger import Ledger
from tests.chaos.report import wait_for_report
from tests.support.fake_encoder import BLOCKED_BY

if TYPE_CHECKING:
    from pathlib import Path

OLD_MODEL = "fake/old"


@pytest.mark.chaos
def test_no_document_mixes_two_models(tmp_path: Path) -> None:
    """Each document names the model of its vector. Every image is enqueued twice, so both models write many."""
    with Cluster(tmp_path) as cluster:
        cluster.start_workers("new")
        cluster.add_worker("old", CLIP_MODEL=OLD_MODEL).start()
        ledger = Ledger(cluster, "mixed")
        ids = ledger.enqueue(300, force=True)
        ledger.enqueue_again(ids, shift=1, force=True)
        wait_for_report(ledger).assert_complete()
        models = {document["embedding_job"]["model"] for document in cluster.collection.find()}
    assert models == {NEW_MODEL, OLD_MODEL}, "both workers wrote vectors"


def test_a_worker_whose_model_hangs_exits(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        flag = tmp_path / "hang"
        worker = cluster.add_worker("a", **{BLOCKED_BY: str(flag)})
        worker.start()
        ledger = Ledger(cluster, "hangs")
        flag.touch()
        ledger.enqueue(150)
        start = now_ms()
        assert worker.wait(60) == 70
        hang_ms = 2 * float(cluster.env["CLIPQUEUE_ENCODE_S"]) * 1000
        assert now_ms() - start > hang_ms, "not before every job's deadline"
        assert "a forward pass hangs: it has run" in worker.log.read_text()
        flag.unlink()
        worker.start()
        wait_for_report(ledger).assert_complete()
