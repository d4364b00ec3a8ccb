"""A worker of an old model beside one of a new, and a model that hangs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producer.contract.job import now_ms
from tests.chaos.account import settle
from tests.chaos.arena import NEW_MODEL, Arena
from tests.chaos.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos

OLD_MODEL = "stand-in/old"


def test_no_document_mixes_two_models(tmp_path: Path) -> None:
    """What a document says of its vector is true. Each image is enqueued twice at once: both models write many."""
    with Arena(tmp_path) as arena:
        arena.start_workers("new")
        arena.add_worker("old", CLIP_MODEL=OLD_MODEL).start()
        ledger = Ledger(arena, "mixed")
        ids = ledger.enqueue(300, force=True)
        ledger.enqueue_again(ids, shift=1, force=True)
        settle(ledger).must_balance()
        found = {document["embedding_job"]["model"] for document in arena.collection.find()}
    assert found == {NEW_MODEL, OLD_MODEL}, "both were at work"


def test_a_worker_whose_model_hangs_ends_itself(tmp_path: Path) -> None:
    with Arena(tmp_path) as arena:
        flag = tmp_path / "hang"
        worker = arena.add_worker("a", STAND_IN_HANGS_WHILE=str(flag))
        worker.start()
        ledger = Ledger(arena, "hangs")
        flag.touch()
        ledger.enqueue(300)
        began = now_ms()
        assert worker.wait(60) == 70
        assert now_ms() - began > 2 * float(arena.env["CLIPQUEUE_ENCODE_S"]) * 1000, "not before nobody waits any more"
        assert "a forward pass has run for" in worker.log.read_text()
        flag.unlink()
        worker.start()
        settle(ledger).must_balance()
