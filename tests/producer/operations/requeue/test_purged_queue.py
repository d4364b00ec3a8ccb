"""`clipqueue purge` forgets what backfills and sweeps have read: the next ones enqueue the documents again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.producer.operations.shop import FIELD, Document, fill
from tests.support.commands import invoke
from tests.support.queued import queued_ids

if TYPE_CHECKING:
    import redis
    from pymongo.collection import Collection


def test_after_a_purge_a_backfill_starts_from_the_beginning(
    queue: redis.Redis, shop: Collection[Document], env: dict[str, str]
) -> None:
    ids = fill(shop, 1000)
    assert invoke("backfill", *FIELD, "--limit", "600", **env).returncode == 0
    purged = invoke("purge", "--yes", **env)
    assert (purged.returncode, purged.stdout) == (0, "deleted 600 waiting messages\n")
    assert "forgot the progress of 1 backfill" in purged.stderr
    assert invoke("backfill", *FIELD, **env).stdout == "enqueued 1000, skipped 0, unusable 0\n"
    assert sorted(queued_ids(queue)) == sorted(ids)
