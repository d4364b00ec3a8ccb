"""A worker of an old model beside one of a new: what a document says of its vector is true of that vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.account import settle
from tests.chaos.arena import NEW_MODEL, Arena
from tests.chaos.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.chaos

OLD_MODEL = "stand-in/old"


def test_no_document_mixes_two_models(tmp_path: Path) -> None:
    """Each image is enqueued twice at once, so that both models write many of the documents."""
    with Arena(tmp_path) as arena:
        arena.start_workers("new")
        arena.add_worker("old", CLIP_MODEL=OLD_MODEL).start()
        ledger = Ledger(arena, "mixed")
        ids = ledger.enqueue(300, force=True)
        ledger.enqueue_again(ids, shift=1, force=True)
        settle(ledger).must_balance()
        found = {document["embedding_job"]["model"] for document in arena.collection.find()}
    assert found == {NEW_MODEL, OLD_MODEL}, "both were at work"
